// Where KEDA's sources come from; what they are compiled with is in ../build.
module vinoserve.example/servers/keda

go 1.26.4

require github.com/kedacore/keda/v2 v2.21.0
