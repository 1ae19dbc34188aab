module stgraph

go 1.19
