module stgraph/testbed

go 1.19
