{{/* A page of the exporter as a probe. Call with (list root path). */}}
{{- define "accelerator-exporter.probe" -}}
httpGet:
  path: {{ index . 1 }}
  port: metrics
  {{- if (index . 0).Values.web.tls }}
  scheme: HTTPS
  {{- end }}
{{- end -}}
