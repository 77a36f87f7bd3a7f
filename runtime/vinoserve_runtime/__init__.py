"""The runtime: fetches, compiles and serves one model with OpenVINO, and says what it runs on."""
