package deployment_test

import (
	"testing"

	"go.uber.org/goleak"
)

// config is the configuration that is deployed.
const config = "../../deploy/nats"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
