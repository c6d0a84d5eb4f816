{{- define "labels" -}}
app.kubernetes.io/name: {{ . }}
app.kubernetes.io/part-of: mcp-oauth-gateway
{{- end }}
{{- define "pod" -}}
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- /* Modes of secrets are 288 = 0440: the one way that every reader of YAML reads alike. */}}
{{- define "container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}
{{- define "budget" }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: {{ . }}}
spec:
  maxUnavailable: 1
  selector: {matchLabels: {app.kubernetes.io/name: {{ . }}}}
{{- end }}
{{- define "dns" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- end }}
{{- define "internet" -}}
- to:
    - ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]}
    - ipBlock: {cidr: "::/0", except: ["fc00::/7", "fe80::/10"]}
{{- end }}
{{- define "spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: {matchLabels: {app.kubernetes.io/name: {{ . }}}}
{{- end }}
{{- define "servers" -}}
{{- $names := list }}
{{- range $name, $server := .Values.servers }}
{{- if ne (toString $server.enabled) "false" }}{{ $names = append $names $name }}{{ end }}
{{- end }}
{{- join "," $names }}
{{- end }}
{{- define "identity" -}}
http://{{ if eq .Values.routes "externalauth" }}auth:8000{{ else }}traefik:8090{{ end }}/internal/identity
{{- end }}
{{- define "edge" -}}
{{- if eq .Values.routes "externalauth" }}
{{- toJson (required "set gateway.from: which pods route requests here" .Values.gateway.from) }}
{{- else }}{podSelector: {matchLabels: {app.kubernetes.io/name: traefik}}}
{{- end }}
{{- end }}
