package jetstore_test

// way is a way in which reads get the bulk of a history.
type way struct {
	name  string
	shape shape // of a history that is read so
	// within are numbers of records to spoil: they, and their neighbours, are within staged
	// batches.
	within []int
}

// ways has a line for every way. What is promised of reads, of what they find and of what
// they leave behind, is tested of each.
func ways() []way {
	return []way{
		{"side by side", shape{{times: 2, events: 650, single: true}}, []int{3, 513, 1024, 1200}},
		{"dense", shape{{times: 8, events: 160, single: true, filler: 120}}, []int{3, 513, 1024, 1200}},
		{"sparse", shape{{times: 30, events: 5, single: true, filler: 5 * apart}}, []int{3, 64, 128, 148}},
		{"long", shape{{times: 4, events: 700, single: true}}, []int{3, 1025, 2600}},
	}
}
