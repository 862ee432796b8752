module verify-pki

go 1.24
