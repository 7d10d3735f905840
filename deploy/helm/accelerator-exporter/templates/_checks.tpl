{{/* Refuses values that contradict each other. */}}
{{- define "accelerator-exporter.checks" -}}
{{- if and (ne .Values.web.tls "none") (not .Values.web.configSecret) -}}
{{- fail (printf "web.tls %s needs web.configSecret: the exporter has its certificate from that Secret" .Values.web.tls) -}}
{{- end -}}
{{- if ne (len (uniq (values .Values.labels))) (len .Values.labels) -}}
{{- fail "labels: two of them have the same name; give each its own" -}}
{{- end -}}
{{- end -}}

{{/* Flags whose value other objects of the chart depend on, and what to do instead. */}}
{{- define "accelerator-exporter.ownFlags" -}}
web.listen-address: "leave it out: probes, Service and monitor use the port 9410"
web.plain-listen-address: "set web.tls"
web.config.file: "set web.configSecret"
web.telemetry-path: "set options.web.telemetry_path"
metrics.views: "set views"
labels.namespace: "set labels.namespace"
labels.pod: "set labels.pod"
labels.container: "set labels.container"
{{- end -}}

{{/* Refuses arguments and environment variables that contradict other objects. Call with (list root group). */}}
{{- define "accelerator-exporter.checkGroup" -}}
{{- $values := (index . 0).Values -}}
{{- $group := index . 1 -}}
{{- $arguments := concat ($group.args | default list) ($values.extraArgs | default list) -}}
{{- $variables := concat ($group.env | default list) ($values.extraEnv | default list) -}}
{{- range $flag, $instead := include "accelerator-exporter.ownFlags" . | fromYaml -}}
{{- range $arguments -}}
{{- if or (eq . (print "--" $flag)) (hasPrefix (print "--" $flag "=") .) -}}
{{- fail (printf "args or extraArgs: found %s; %s" . $instead) -}}
{{- end -}}
{{- end -}}
{{- range $variables -}}
{{- if eq .name (print "ACCELERATOR_EXPORTER_" (regexReplaceAll "[.-]" $flag "_" | upper)) -}}
{{- fail (printf "env or extraEnv: found %s; %s" .name $instead) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $names := list -}}
{{- range include "accelerator-exporter.env" . | fromYamlArray -}}
{{- if has .name $names -}}
{{- fail (printf "env or extraEnv: %s is set already, by another value or by the chart" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- end -}}
