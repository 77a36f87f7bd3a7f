// The client for fixed rates; see main.go.
module vinoserve.example/openloop

go 1.26.0

require (
	golang.org/x/net v0.61.0
	golang.org/x/sys v0.49.0
)

require golang.org/x/text v0.43.0 // indirect
