{{- /* Names, labels and what several templates ask. */ -}}

{{- define "secure-registry-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "secure-registry-operator.serviceAccountName" -}}
{{- default (include "secure-registry-operator.fullname" .) .Values.operator.serviceAccount.name -}}
{{- end -}}

{{- /* Labels of an object; of a list: the root and the component. */ -}}
{{- define "secure-registry-operator.labels" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.commonLabels }}{{ toYaml . }}
{{ end -}}
{{ include "secure-registry-operator.selector" . }}
{{- end -}}

{{- define "secure-registry-operator.selector" -}}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/name: secure-registry-operator
{{- end -}}

{{- define "secure-registry-operator.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- /* Audience of the token that the cloud exchanges for one of its own. */ -}}
{{- define "secure-registry-operator.tokenAudience" -}}
{{- $ofClouds := dict "AzurePublic" "api://AzureADTokenExchange" "AzureUSGovernment" "api://AzureADTokenExchangeUSGov" "AzureChina" "api://AzureADTokenExchangeChina" -}}
{{- default (get $ofClouds .Values.azure.cloud) .Values.azure.tokenAudience -}}
{{- end -}}

{{- /*
The vantage points with what they left open, as `items`. An agent may write Leases in its namespace and speaks for its vantage
point there: beside the operator it could take claims and the leader's Lease, beside another agent it could write that one's.
*/ -}}
{{- define "secure-registry-operator.vantagePoints" -}}
{{- $taken := list "default" "kube-system" "kube-public" "kube-node-lease" -}}
{{- if .Values.operator.enabled -}}{{- $taken = append $taken .Release.Namespace -}}{{- end -}}
{{- $names := list -}}
{{- $embedded := "" -}}
{{- $items := list -}}
{{- range $given := .Values.vantagePoints -}}
{{- $vantage := deepCopy $given -}}
{{- if not (hasKey $given "runBy") -}}{{- $_ := set $vantage "runBy" "Agent" -}}{{- end -}}
{{- if not (hasKey $given "createNamespace") -}}{{- $_ := set $vantage "createNamespace" true -}}{{- end -}}
{{- if has $given.name $names -}}
{{- fail (printf "vantagePoints: %s is there twice: give each a name of its own" $given.name) -}}
{{- end -}}
{{- $names = append $names $given.name -}}
{{- if eq $vantage.runBy "Operator" -}}
{{- if or $given.namespace $given.serviceAccountName $given.kubeconfig -}}
{{- fail (printf "vantagePoints: %s is run by the operator, in its namespace and under its ServiceAccount: leave out namespace, serviceAccountName and kubeconfig" $given.name) -}}
{{- end -}}
{{- if not $.Values.operator.enabled -}}
{{- fail (printf "vantagePoints: %s is run by the operator, and operator.enabled is false" $given.name) -}}
{{- end -}}
{{- if $embedded -}}
{{- fail (printf "vantagePoints: %s and %s are both run by the operator, which can be one of them only" $embedded $given.name) -}}
{{- end -}}
{{- $embedded = $given.name -}}
{{- $_ := set $vantage "namespace" $.Release.Namespace -}}
{{- $_ := set $vantage "serviceAccountName" (include "secure-registry-operator.serviceAccountName" $) -}}
{{- else -}}
{{- if and (eq $vantage.runBy "Elsewhere") $given.kubeconfig -}}
{{- fail (printf "vantagePoints: %s is run elsewhere: its kubeconfig belongs there" $given.name) -}}
{{- end -}}
{{- $_ := set $vantage "namespace" (default $given.name $given.namespace) -}}
{{- $_ := set $vantage "serviceAccountName" (default "secure-registry-agent" $given.serviceAccountName) -}}
{{- if has $vantage.namespace $taken -}}
{{- fail (printf "vantagePoints: %s: namespace %s is the operator's, another agent's or the cluster's own: give it a namespace of its own, such as %s" $given.name $vantage.namespace $given.name) -}}
{{- end -}}
{{- $taken = append $taken $vantage.namespace -}}
{{- end -}}
{{- $items = append $items $vantage -}}
{{- end -}}
{{- toYaml (dict "items" $items) -}}
{{- end -}}

{{- /* Name of the vantage point that the operator is, or nothing. */ -}}
{{- define "secure-registry-operator.embedded" -}}
{{- range $vantage := (include "secure-registry-operator.vantagePoints" . | fromYaml).items -}}
{{- if eq $vantage.runBy "Operator" -}}{{- $vantage.name -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
Objects of our kinds need the definitions before: Helm looks every kind up before it makes anything. Without a cluster
(`helm template`, GitOps) whoever applies them has to see to the order.
*/ -}}
{{- define "secure-registry-operator.definitionsAreThere" -}}
{{- $here := .Capabilities.APIVersions.Has "secureregistry.dev/v1alpha1/RegistryGrant" -}}
{{- if and (not $here) (lookup "v1" "Namespace" "" "kube-system") -}}
{{- fail "this cluster does not know RegistryGrant and VantagePoint yet, and Helm makes no object of a kind that the same release brings: install once without `grants` and `vantagePoints`, then upgrade with them" -}}
{{- end -}}
{{- end -}}
