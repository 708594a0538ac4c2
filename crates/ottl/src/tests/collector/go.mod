module forebay/ottl-answers

go 1.25.0

require (
	github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl v0.158.0
	go.opentelemetry.io/collector/component/componenttest v0.158.0
	go.opentelemetry.io/collector/pdata v1.64.0
)
