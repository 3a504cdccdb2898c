package jsonlib

// misses names the rules that a library does not hold. A library that begins to
// hold one fails the test, so that the table in the documentation stays true.
var misses = map[string][]string{
	"encoding/json": {
		"repeated known key refused",
		"absent required key refused",
		"null for a required key refused",
		"raw number beyond a float64 refused",
		"keys matched by case",
		"lone surrogate in text refused",
		"lone surrogate in raw JSON refused",
		"invalid UTF-8 in text refused",
		"invalid UTF-8 in raw JSON refused",
	},
	"go-json-experiment/json (v2)": {
		"absent required key refused",
		"null for a required key refused",
		"raw number beyond a float64 refused",
		"raw JSON kept: repeated keys",
	},
	"goccy/go-json": {
		"repeated known key refused",
		"absent required key refused",
		"null for a required key refused",
		"raw number beyond a float64 refused",
		"keys matched by case",
		"lone surrogate in text refused",
		"lone surrogate in raw JSON refused",
		"invalid UTF-8 in text refused",
		"invalid UTF-8 in raw JSON refused",
	},
	"bytedance/sonic": {
		"repeated known key refused",
		"absent required key refused",
		"null for a required key refused",
		"raw number beyond a float64 refused",
		"lone surrogate in text refused",
		"lone surrogate in raw JSON refused",
		"invalid UTF-8 in text refused",
		"invalid UTF-8 in raw JSON refused",
	},
	"segmentio/encoding/json": {
		"repeated known key refused",
		"absent required key refused",
		"null for a required key refused",
		"raw number beyond a float64 refused",
		"lone surrogate in text refused",
		"lone surrogate in raw JSON refused",
		"invalid UTF-8 in text refused",
		"invalid UTF-8 in raw JSON refused",
	},
}
