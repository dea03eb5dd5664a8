{{- /* What the pods of operator and agents have in common. */ -}}

{{- /* The Pod Security Standard's level `restricted`, and a user that owns nothing. */ -}}
{{- define "secure-registry-operator.podSecurity" -}}
runAsGroup: 65532
runAsNonRoot: true
runAsUser: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "secure-registry-operator.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop:
  - ALL
readOnlyRootFilesystem: true
{{- end -}}

{{- define "secure-registry-operator.health" -}}
livenessProbe:
  httpGet:
    path: /livez
    port: health
  periodSeconds: 10
  timeoutSeconds: 3
ports:
- containerPort: 8080
  name: health
readinessProbe:
  httpGet:
    path: /readyz
    port: health
  periodSeconds: 10
  timeoutSeconds: 3
{{- end -}}

{{- /* Environment of both: the cloud, the proxy, what probes trust. */ -}}
{{- define "secure-registry-operator.commonEnv" -}}
{{- if .Values.azure.cloudFile.configMapName }}
- name: SREG_AZURE_CLOUD_FILE
  value: {{ printf "/etc/secure-registry/cloud/%s" .Values.azure.cloudFile.key | quote }}
{{- else if ne .Values.azure.cloud "AzurePublic" }}
- name: SREG_AZURE_CLOUD
  value: {{ .Values.azure.cloud | quote }}
{{- end }}
{{- with .Values.proxy.https }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with .Values.proxy.exceptions }}
- name: NO_PROXY
  value: {{ . | quote }}
{{- end }}
{{- if .Values.probes.certificateAuthorities.configMapName }}
- name: SREG_PROBE_CA_FILE
  value: {{ printf "/etc/secure-registry/probe-ca/%s" .Values.probes.certificateAuthorities.key | quote }}
{{- end }}
{{- end -}}

{{- define "secure-registry-operator.commonMounts" -}}
{{- if .Values.azure.cloudFile.configMapName }}
- mountPath: /etc/secure-registry/cloud
  name: cloud
  readOnly: true
{{- end }}
{{- if .Values.probes.certificateAuthorities.configMapName }}
- mountPath: /etc/secure-registry/probe-ca
  name: probe-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "secure-registry-operator.commonVolumes" -}}
{{- with .Values.azure.cloudFile.configMapName }}
- name: cloud
  configMap:
    name: {{ . | quote }}
{{- end }}
{{- with .Values.probes.certificateAuthorities.configMapName }}
- name: probe-ca
  configMap:
    name: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "secure-registry-operator.pull" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Where pods run: `nodeSelector`, `tolerations`, `affinity`, `priorityClassName` of a map. */ -}}
{{- define "secure-registry-operator.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end -}}
