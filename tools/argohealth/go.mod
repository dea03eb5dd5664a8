// Runs a health check of Argo CD: the interpreter that Argo CD has inside, behind a few lines that read and print.
module secureregistry.dev/tools/argohealth

go 1.26.0

require github.com/yuin/gopher-lua v1.1.2
