package main

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"executor/toolsv1"
)

const (
	write = `{"type":"object","properties":{"note":{"type":"string"},"number":{"type":"integer","default":0},` +
		`"how":{"type":"string","default":""}},"required":["note"],"additionalProperties":false}`
	written = `{"type":"object","properties":{"id":{"type":"string"},"note":{"type":"string"},"number":{"type":"integer"},` +
		`"count":{"type":"integer"}},"required":["id","note","number","count"]}`
	id     = `{"type":"object","properties":{"id":{"type":"string"}},"required":["id"],"additionalProperties":false}`
	erased = `{"type":"object","properties":{"erased":{"type":"boolean"}},"required":["erased"]}`
	slow   = `{"type":"object","properties":{"seconds":{"type":"number"}},"required":["seconds"],"additionalProperties":false}`
	read   = `{"type":"object","properties":{"id":{"type":"string"},"how":{"type":"string"}},"additionalProperties":false}`
	text   = `{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}`
	key    = `{"type":"object","properties":{"key":{"type":"string"}},"required":["key"],"additionalProperties":false}`
	counts = `{"type":"object","properties":{"calls":{"type":"integer"},"bodies":{"type":"integer"},"started":{"type":"integer"},` +
		`"ended":{"type":"integer"},"cancelled":{"type":"integer"}},"required":["calls","bodies","started","ended","cancelled"]}`
)

// tools is what List answers: nothing here is known to the caller in any other way.
func tools() []*toolsv1.Tool {
	limit, day := durationpb.New(10*time.Second), durationpb.New(24*time.Hour)
	declared := []*toolsv1.Tool{
		{
			Name: "note.write", Description: "Write a note once for each key.", Arguments: []byte(write), Result: []byte(written),
			Effect: "write", Guarantee: "idempotent", KeyTtl: day, CompensateWith: "note.erase", TimeLimit: limit,
		},
		{
			Name: "note.guarded", Description: "Write a note each time it is called; it can be looked up.",
			Arguments: []byte(write), Result: []byte(written),
			Effect: "write", Guarantee: "guarded", CompensateWith: "note.erase", Lookup: true, TimeLimit: limit,
		},
		{
			Name: "note.erase", Description: "Erase a note.", Arguments: []byte(id), Result: []byte(erased),
			Effect: "write", Guarantee: "idempotent", KeyTtl: day, Irreversible: true, TimeLimit: limit,
		},
		{
			Name: "note.slow", Description: "Take its time, and stop when it is cancelled.",
			Arguments: []byte(slow), Result: []byte(text),
			Effect: "write", Guarantee: "guarded", Irreversible: true, TimeLimit: durationpb.New(time.Minute),
		},
		{
			Name: "note.read", Description: "Read a note.", Arguments: []byte(read), Result: []byte(text),
			Effect: "read", Guarantee: "pure", Secrets: []string{"NOTE_TOKEN"}, TimeLimit: limit,
		},
		{
			Name: "note.counts", Description: "Tell how often what happened under a key.",
			Arguments: []byte(key), Result: []byte(counts), Effect: "read", Guarantee: "pure", TimeLimit: limit,
		},
	}
	for _, tool := range declared {
		tool.Version = "1"
	}
	return declared
}
