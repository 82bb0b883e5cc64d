package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"executor/toolsv1"
)

// outcome is how a call ended: with an output, or with one of the other ends of the contract.
type outcome struct {
	output any
	reply  *toolsv1.InvokeResponse
	err    error
}

type executor struct {
	toolsv1.UnimplementedToolExecutorServer
	notes *notes
	token string
}

func newExecutor(token string) *executor {
	return &executor{notes: newNotes(), token: token}
}

func (e *executor) List(context.Context, *toolsv1.ListRequest) (*toolsv1.ListResponse, error) {
	return &toolsv1.ListResponse{Tools: tools()}, nil
}

func (e *executor) Invoke(ctx context.Context, request *toolsv1.InvokeRequest) (*toolsv1.InvokeResponse, error) {
	deadline := request.GetCaller().GetDeadline()
	if deadline == nil || !time.Now().Before(deadline.AsTime()) {
		return transient("it was not started: its time was over", 0), nil
	}
	ctx, cancel := context.WithDeadline(ctx, deadline.AsTime())
	defer cancel()

	var arguments arguments
	decoder := json.NewDecoder(strings.NewReader(string(request.GetArguments())))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&arguments); err != nil {
		return retry("the arguments do not fit: " + err.Error()), nil
	}
	ended := e.call(ctx, request.GetTool(), request.GetKey(), arguments)
	if ended.reply != nil || ended.err != nil {
		return ended.reply, ended.err
	}
	output, err := json.Marshal(ended.output)
	if err != nil {
		return unknown("the output cannot be sent: " + err.Error()), nil
	}
	// Whoever reads a secret strikes it out of what it answers: the caller does not know it.
	if e.token != "" {
		output = []byte(strings.ReplaceAll(string(output), e.token, "[NOTE_TOKEN]"))
	}
	return done(output), nil
}

func (e *executor) Lookup(_ context.Context, request *toolsv1.LookupRequest) (*toolsv1.LookupResponse, error) {
	if request.GetTool() != "note.guarded" {
		return &toolsv1.LookupResponse{Outcome: &toolsv1.LookupResponse_Unsure{Unsure: &toolsv1.Unsure{}}}, nil
	}
	found, ok := e.notes.find(request.GetKey())
	if !ok {
		return &toolsv1.LookupResponse{Outcome: &toolsv1.LookupResponse_Absent{Absent: &toolsv1.Absent{}}}, nil
	}
	output, err := json.Marshal(found)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &toolsv1.LookupResponse{Outcome: &toolsv1.LookupResponse_Happened{Happened: &toolsv1.Happened{Output: output}}}, nil
}

func (e *executor) call(ctx context.Context, tool, key string, arguments arguments) outcome {
	switch tool {
	case "note.write":
		e.notes.counted(key, "calls")
		if found, ok := e.notes.find(key); ok {
			return outcome{output: found}
		}
		return e.write(key, arguments)
	case "note.guarded":
		e.notes.counted(key, "calls")
		return e.write(key, arguments)
	case "note.erase":
		e.notes.counted(key, "calls")
		return outcome{output: map[string]bool{"erased": e.notes.erase(arguments.ID)}}
	case "note.slow":
		return e.slow(ctx, key, arguments)
	case "note.read":
		return e.read(arguments)
	case "note.counts":
		return outcome{output: e.notes.counts(arguments.Key)}
	default:
		return outcome{reply: failed("there is no tool " + tool)}
	}
}

func (e *executor) write(key string, arguments arguments) outcome {
	if reply := refused(arguments.How); reply != nil {
		return outcome{reply: reply}
	}
	made := e.notes.write(key, arguments)
	switch arguments.How {
	case "unknown":
		return outcome{reply: unknown("told to lose its answer")}
	case "cut":
		return outcome{err: status.Error(codes.Unavailable, "told to be cut")}
	case "garbage":
		return outcome{reply: done([]byte("<html>"))}
	}
	return outcome{output: made}
}

func (e *executor) slow(ctx context.Context, key string, arguments arguments) outcome {
	e.notes.counted(key, "started")
	select {
	case <-ctx.Done():
		e.notes.counted(key, "cancelled")
		return outcome{err: status.FromContextError(ctx.Err()).Err()}
	case <-time.After(time.Duration(arguments.Seconds * float64(time.Second))):
		e.notes.counted(key, "ended")
		return outcome{output: map[string]string{"text": "ended"}}
	}
}

func (e *executor) read(arguments arguments) outcome {
	if reply := refused(arguments.How); reply != nil {
		return outcome{reply: reply}
	}
	switch arguments.How {
	case "secret":
		return outcome{output: map[string]string{"text": "the token is " + e.token}}
	case "cut":
		return outcome{err: status.Error(codes.Unavailable, "told to be cut")}
	case "garbage":
		return outcome{output: map[string]bool{"nonsense": true}}
	}
	found, _ := e.notes.find(arguments.ID)
	return outcome{output: map[string]string{"text": found.Note}}
}

func refused(how string) *toolsv1.InvokeResponse {
	switch how {
	case "retry":
		return retry("told to want other arguments")
	case "failed":
		return failed("told to fail")
	case "transient":
		return transient("told to be busy", 7*time.Second)
	}
	return nil
}

func done(output []byte) *toolsv1.InvokeResponse {
	return &toolsv1.InvokeResponse{Outcome: &toolsv1.InvokeResponse_Output{Output: output}}
}

func retry(message string) *toolsv1.InvokeResponse {
	return &toolsv1.InvokeResponse{Outcome: &toolsv1.InvokeResponse_Retry{Retry: &toolsv1.Retry{Message: message}}}
}

func failed(message string) *toolsv1.InvokeResponse {
	return &toolsv1.InvokeResponse{Outcome: &toolsv1.InvokeResponse_Failed{Failed: &toolsv1.Failed{Message: message}}}
}

func unknown(message string) *toolsv1.InvokeResponse {
	return &toolsv1.InvokeResponse{Outcome: &toolsv1.InvokeResponse_Unknown{Unknown: &toolsv1.Unknown{Message: message}}}
}

func transient(message string, after time.Duration) *toolsv1.InvokeResponse {
	said := &toolsv1.Transient{Message: message}
	if after > 0 {
		said.RetryAfter = durationpb.New(after)
	}
	return &toolsv1.InvokeResponse{Outcome: &toolsv1.InvokeResponse_Transient{Transient: said}}
}
