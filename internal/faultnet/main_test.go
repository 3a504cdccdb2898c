package faultnet

import (
	"testing"

	"github.com/enactlog/enact/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
