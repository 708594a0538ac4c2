// Answers the conditions of conditions.txt on the spans of spans.hex with the collector's pkg/ottl:
//
//	go mod tidy && go run . > answers.txt
//
// A line per condition, a letter per span: 1, 0, e for an error, p for a panic; or "refused".
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"log"
	"os"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspan"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/ottlfuncs"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

type condition = ottl.Condition[*ottlspan.TransformContext]

func main() {
	var spans []ptrace.Traces
	for _, line := range lines("spans.hex") {
		wire, err := hex.DecodeString(line)
		check(err)
		traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(wire)
		check(err)
		spans = append(spans, traces)
	}
	functions := ottlfuncs.StandardConverters[*ottlspan.TransformContext]()
	isRootSpan := ottlfuncs.NewIsRootSpanFactoryNew()
	functions[isRootSpan.Name()] = isRootSpan
	parser, err := ottlspan.NewParser(functions, componenttest.NewNopTelemetrySettings())
	check(err)
	for _, text := range lines("conditions.txt") {
		parsed, err := parser.ParseCondition(text)
		if err != nil {
			fmt.Println("refused")
			continue
		}
		for _, traces := range spans {
			fmt.Print(answer(parsed, traces))
		}
		fmt.Println()
	}
}

func answer(parsed *condition, traces ptrace.Traces) (letter string) {
	defer func() {
		if recover() != nil {
			letter = "p"
		}
	}()
	resource := traces.ResourceSpans().At(0)
	scope := resource.ScopeSpans().At(0)
	span := ottlspan.NewTransformContextPtr(resource, scope, scope.Spans().At(0))
	defer span.Close()
	holds, err := parsed.Eval(context.Background(), span)
	switch {
	case err != nil:
		return "e"
	case holds:
		return "1"
	default:
		return "0"
	}
}

func lines(name string) (out []string) {
	file, err := os.Open(name)
	check(err)
	defer file.Close()
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<24)
	for scanner.Scan() {
		out = append(out, scanner.Text())
	}
	check(scanner.Err())
	return out
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
