module github.com/enactlog/enact

go 1.26.0

require (
	github.com/go-json-experiment/json v1.27.2
	github.com/segmentio/ksuid v1.0.4
	github.com/stretchr/testify v1.12.1
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect
