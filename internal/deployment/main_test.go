package deployment_test

import (
	"testing"

	"github.com/enactlog/enact/internal/leaktest"
)

// config is the configuration that is deployed.
const config = "../../deploy/nats"

func TestMain(m *testing.M) { leaktest.Main(m) }
