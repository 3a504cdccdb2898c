// Package faultnet stands between a NATS client and a server and makes the network
// between them as bad as a test asks for. It forwards whole frames of the client
// protocol, so that a fault hits one request or one answer: it is lost, late, doubled,
// overtaken by a later one, or the connection ends just before or just after it.
//
//	proxy, err := faultnet.Start(serverAddress)
//	nc, err := nats.Connect(proxy.URL(), nats.IgnoreDiscoveredServers())
//	proxy.Apply(faultnet.NewSchedule(faultnet.Config{Rules: []faultnet.Rule{{
//		At: faultnet.Point{Direction: faultnet.Reply, Class: faultnet.RecordPublish}, Nth: 1, Fault: faultnet.Drop,
//	}}}))
//
// Which frame meets which fault is decided by a [Schedule]: at random from a seed, or
// by rules that name the n-th frame of a kind. Frames that set a connection up or keep
// it alive are never touched.
//
// Clients must not connect past the proxy: servers of a cluster list their own
// addresses, which nats.IgnoreDiscoveredServers makes a client ignore.
package faultnet
