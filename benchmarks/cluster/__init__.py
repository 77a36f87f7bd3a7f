"""What the operator takes on a real Kubernetes: the development cluster, brought up anew for each measurement."""
