package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/enactlog/enact/internal/ask"
)

// settings holds the streams' settings against what each guarantee needs.
func settings(_ context.Context, x *examination) []Finding {
	return x.each(checkSettings, func(s *stream) Finding {
		problems := s.Problems(&s.config)
		if len(problems) == 0 {
			return Finding{Status: OK, Found: "every setting keeps the log's guarantees"}
		}
		var have, means, mend []string
		for _, p := range problems {
			have = append(have, p.Setting+" is "+p.Have)
			if !slices.Contains(means, p.Why) {
				means = append(means, p.Why)
			}
			mend = append(mend, p.Setting+" to "+p.Want)
		}
		return Finding{
			Status: Fail, Found: strings.Join(have, ", "), Means: "not kept: " + strings.Join(means, "; "),
			Mend: "set " + strings.Join(mend, ", ") + "; what cannot be changed needs a new stream and an import",
		}
	})
}

// syncs says whether what is acknowledged is on disk.
func syncs(_ context.Context, x *examination) []Finding {
	const check = checkSync
	if x.Embedded {
		return []Finding{{Check: check, Status: Unknown, Found: "a log in a directory is synced as the program says that opens it; this one syncs before each acknowledgement"}}
	}
	single := false
	for _, s := range x.streams {
		single = single || s.err == nil && s.config.Replicas <= 1
	}
	how := make(map[string][]string)
	lazy := make(map[string]bool)
	for _, s := range x.servers.sorted() {
		switch {
		case s.js == nil || s.js.Config == nil:
			continue
		case s.js.Config.SyncAlways:
			how["before each acknowledgement"] = append(how["before each acknowledgement"], s.name)
		default:
			text := "every " + s.js.Config.SyncInterval.String()
			how[text], lazy[text] = append(how[text], s.name), true
		}
	}
	var found []Finding
	for _, text := range slices.Sorted(maps.Keys(how)) {
		f := Finding{Check: check, Status: OK, Found: few(how[text]) + ": fsync " + text}
		if lazy[text] {
			f.Status, f.Means = Warn, "an acknowledged event is lost if a majority of the replicas loses power within that time"
			if single {
				f.Status, f.Means = Fail, "an acknowledged event is lost if the server loses power within that time"
			}
			f.Mend = "set jetstream { sync_interval: always } on every server"
		}
		found = append(found, f)
	}
	var untold []string
	for _, s := range x.servers.sorted() {
		if s.js == nil {
			untold = append(untold, s.name)
		}
	}
	for _, s := range x.streams {
		for _, name := range s.holders() {
			if x.servers.named(name) == nil && !slices.Contains(untold, name) {
				untold = append(untold, name)
			}
		}
	}
	if len(untold) > 0 || len(found) == 0 {
		found = append(found, Finding{
			Check: check, Status: Unknown, Found: "of " + few(untold) + ": only the system account and the monitoring tell",
			Mend: "give the system account (--system-context) or the servers' monitoring (--monitor)",
		})
	}
	return found
}

// replicas says how many copies there are and whether they keep up.
func replicas(_ context.Context, x *examination) []Finding {
	return x.each(checkReplicas, func(s *stream) Finding {
		n := max(s.config.Replicas, 1)
		f := Finding{Status: OK, Found: english(n, "replica")}
		c := s.info.Cluster
		switch {
		case x.Embedded && n == 1:
			f.Found = "one copy, in the program's directory"
			return f
		case n == 1:
			f.Status, f.Means = Warn, "the log is as durable as one disk, and stands still while its server does"
			f.Mend = "run three servers and set replicas to 3; keep backups until then"
			return f
		case c == nil || c.Leader == "":
			f.Status, f.Found, f.Means = Fail, f.Found+", no leader", "nothing can be appended, and reads end in errors"
			f.Mend = "bring back servers until a majority of the replicas runs"
			return f
		}
		var behind []string
		for _, r := range c.Replicas {
			switch {
			case r.Offline:
				behind = append(behind, r.Name+" is offline")
			case !r.Current:
				behind = append(behind, r.Name+" is not current")
			}
		}
		f.Found = fmt.Sprintf("%s, leader %s", f.Found, c.Leader)
		switch {
		case len(c.Replicas)+1 < n:
			f.Status, f.Found = Warn, f.Found+fmt.Sprintf(", %d of them placed", len(c.Replicas)+1)
			f.Means, f.Mend = "there are fewer copies than were asked for", "add servers that the stream may be placed on"
		case len(behind) > 0:
			f.Status, f.Found = Warn, f.Found+"; "+strings.Join(behind, ", ")
			f.Means = fmt.Sprintf("of %d replicas %d keep up; %d must for the log to take appends", n, n-len(behind), n/2+1)
			f.Mend = "bring the servers back, or find out what slows them down"
			if n-len(behind) == n/2+1 {
				f.Means += ": one more failure stops it"
			}
		case n%2 == 0:
			f.Status, f.Means = Warn, fmt.Sprintf("%d replicas survive no more failures than %d", n, n-1)
			f.Mend = fmt.Sprintf("set replicas to %d or %d", n-1, n+1)
		}
		return f
	})
}

// placement says whether one failure takes several replicas.
func placement(_ context.Context, x *examination) []Finding {
	found := x.each(checkPlacement, func(s *stream) Finding {
		names := slices.Sorted(slices.Values(s.holders()))
		if len(names) < 2 {
			return Finding{Status: OK, Found: "there is one copy to place"}
		}
		var unknown, untagged []string
		hosts, tags := make(map[string][]string), make(map[string][]string)
		unique := ""
		for _, name := range names {
			server := x.servers.named(name)
			if server == nil || len(server.hosts) == 0 {
				unknown = append(unknown, name)
			}
			if server == nil {
				continue
			}
			for _, host := range server.hosts {
				hosts[host] = append(hosts[host], name)
			}
			if server.js == nil {
				untagged = append(untagged, name)
				continue
			}
			for _, tag := range server.tags {
				tags[tag] = append(tags[tag], name)
			}
			if server.js.Config != nil {
				unique = server.js.Config.UniqueTag
			}
		}
		const moved = "move servers, or give them tags of their place (az:…), set jetstream { unique_tag: az: } and have the stream placed anew"
		for _, host := range slices.Sorted(maps.Keys(hosts)) {
			if len(hosts[host]) > 1 {
				return Finding{
					Status: Warn, Found: fmt.Sprintf("%s are on one host, %s", few(hosts[host]), host),
					Means: fmt.Sprintf("one machine takes %d of %d replicas with it", len(hosts[host]), len(names)), Mend: moved,
				}
			}
		}
		for _, tag := range slices.Sorted(maps.Keys(tags)) {
			if place(tag) && len(tags[tag]) > len(names)/2 {
				return Finding{
					Status: Warn, Found: fmt.Sprintf("%s all are in %s", few(tags[tag]), tag),
					Means: "one failure of that place takes the majority of the replicas with it", Mend: moved,
				}
			}
		}
		switch {
		case len(unknown) > 0:
			return Finding{Status: Unknown, Found: "where " + few(unknown) + " are", Mend: "connect with addresses of all servers"}
		case unique != "":
			return Finding{Status: OK, Found: fmt.Sprintf("%d hosts; servers keep replicas apart by the tag %s", len(hosts), unique)}
		case len(untagged) > 0:
			return Finding{Status: OK, Found: fmt.Sprintf("%d hosts; tags are not known", len(hosts))}
		}
		return Finding{Status: OK, Found: fmt.Sprintf("%d hosts", len(hosts))}
	})
	return found
}

// place reports whether a tag says where a server is, as people write such tags.
func place(tag string) bool {
	kind, _, ok := strings.Cut(tag, ":")
	return ok && slices.Contains([]string{"az", "zone", "rack", "host", "dc", "datacenter", "node"}, kind)
}

// Bounds of the clocks' difference.
const (
	clockWarn = time.Second
	clockFail = 5 * time.Minute
)

// clocks compares the servers' clocks with ours.
func clocks(_ context.Context, x *examination) []Finding {
	var readings []reading
	for _, s := range x.servers.sorted() {
		if s.clock != nil {
			readings = append(readings, *s.clock)
		}
	}
	for _, s := range x.streams {
		if s.reading.of != "" || s.err == nil && !s.info.Now.IsZero() {
			r := s.reading
			if r.of == "" {
				r.of = x.Conn.ConnectedServerName()
			}
			readings = append(readings, r)
		}
	}
	return []Finding{judgeClocks(readings)}
}

func judgeClocks(readings []reading) Finding {
	f := Finding{Check: checkClock, Status: OK}
	if len(readings) == 0 {
		f.Status, f.Found = Unknown, "no server told its time"
		return f
	}
	worst, off := readings[0], time.Duration(-1)
	for _, r := range readings {
		// As far as the time that the answer took leaves no other explanation.
		if sure := r.ahead.Abs() - r.within; sure > off {
			worst, off = r, sure
		}
	}
	direction := "ahead of"
	if worst.ahead < 0 {
		direction = "behind"
	}
	if off <= 0 {
		f.Found = fmt.Sprintf("no difference beyond the %s that answers took", (2 * worst.within).Round(10*time.Microsecond))
		return f
	}
	f.Found = fmt.Sprintf("%s is %s %s ours, give or take %s", worst.of, worst.ahead.Abs(), direction, worst.within.Round(10*time.Microsecond))
	if off >= clockWarn {
		f.Status = Warn
		f.Means = "events bear the time of whoever appended them: lists and intervals by time mix up what different machines did"
		f.Mend = "run NTP or chrony on every machine, this one too"
	}
	if off >= clockFail {
		f.Status = Fail
		f.Means += "; credentials and certificates may count as expired, and a stream made anew may begin with positions that were there before"
	}
	return f
}

// Bounds of what is stored, in percent of the limit.
const (
	storageWarn = 80
	storageFail = 95
)

// usage is what is used of a limit.
type usage struct {
	what        string
	used, limit uint64 // bytes; limit 0: none
}

// storage holds what is stored against the limits of the account and of the servers.
func storage(ctx context.Context, x *examination) []Finding {
	const check = checkStorage
	type tier struct {
		Store    uint64 `json:"storage"`
		Reserved uint64 `json:"reserved_storage"`
		Limits   struct {
			MaxStore int64 `json:"max_storage"`
		} `json:"limits"`
	}
	var account struct {
		tier
		Tiers map[string]tier `json:"tiers"`
	}
	var found []Finding
	if err := x.request(ctx, "INFO", nil, &account); err != nil {
		found = append(found, Finding{Check: check, Status: Unknown, Found: "of the account: " + ask.Why(err)})
	} else {
		tiers := map[string]tier{"account": account.tier}
		if len(account.Tiers) > 0 {
			tiers = make(map[string]tier)
			for name, t := range account.Tiers {
				tiers["account, tier "+name] = t
			}
		}
		for _, name := range slices.Sorted(maps.Keys(tiers)) {
			t := tiers[name]
			found = append(found, judgeUsage(usage{what: name, used: t.Store, limit: uint64(max(t.Limits.MaxStore, 0))}))
		}
	}
	told := false
	for _, s := range x.servers.sorted() {
		if s.js == nil || s.js.Config == nil || s.js.Stats == nil {
			continue
		}
		told = true
		found = append(found, judgeUsage(usage{
			what: s.name, used: max(s.js.Stats.Store, s.js.Stats.ReservedStore), limit: uint64(max(s.js.Config.MaxStore, 0)),
		}))
	}
	if !told && !x.Embedded {
		found = append(found, Finding{
			Check: check, Status: Unknown, Found: "of the servers: only the system account and the monitoring tell",
			Mend: "give the system account (--system-context) or the servers' monitoring (--monitor)",
		})
	}
	return found
}

func judgeUsage(u usage) Finding {
	f := Finding{Check: checkStorage, Status: OK, Found: fmt.Sprintf("%s: %s, no limit", u.what, humanize.IBytes(u.used))}
	if u.limit == 0 {
		return f
	}
	percent := float64(u.used) * 100 / float64(u.limit)
	f.Found = fmt.Sprintf("%s: %s of %s, %.0f %%", u.what, humanize.IBytes(u.used), humanize.IBytes(u.limit), percent)
	switch {
	case percent >= storageFail:
		f.Status = Fail
	case percent >= storageWarn:
		f.Status = Warn
	default:
		return f
	}
	f.Means = "at the limit appends are refused; nothing is deleted to make room"
	f.Mend = "raise max_storage, add disk, or move other streams away"
	return f
}

func english(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
