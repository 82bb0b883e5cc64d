// A tool executor in Go: it serves the tools of the conformance suite, to show that the contract needs no Python.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"executor/toolsv1"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "host:port to listen on")
	flag.Parse()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	signs := health.NewServer()
	toolsv1.RegisterToolExecutorServer(server, newExecutor(os.Getenv("PERDURE_SECRET_NOTE_TOKEN")))
	grpc_health_v1.RegisterHealthServer(server, signs)
	reflection.Register(server)
	signs.SetServingStatus(toolsv1.ToolExecutor_ServiceDesc.ServiceName, grpc_health_v1.HealthCheckResponse_SERVING)

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		signs.Shutdown()
		server.GracefulStop()
	}()
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
