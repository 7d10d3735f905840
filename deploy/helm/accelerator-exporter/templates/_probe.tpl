{{/* A page of the exporter as a probe. Call with (list root path). */}}
{{- define "accelerator-exporter.probe" -}}
httpGet:
  path: {{ index . 1 }}
  {{- $tls := (index . 0).Values.web.tls }}
  port: {{ ternary "probes" "metrics" (eq $tls "mutual") }}
  {{- if eq $tls "server" }}
  scheme: HTTPS
  {{- end }}
{{- end -}}
