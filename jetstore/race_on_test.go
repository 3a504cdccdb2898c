//go:build race

package jetstore_test

const raceDetector = true
