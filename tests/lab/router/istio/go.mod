module lab/router/istio // for the CRDs that its one requirement carries

go 1.24

require istio.io/api v1.31.4
