{{/* The environment variables of a group's container. Call with (list root group). */}}
{{- define "accelerator-exporter.env" -}}
{{- $root := index . 0 -}}
{{- $group := index . 1 -}}
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
# Resource claims of monitors in this namespace do not count as users of devices.
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- if $group.features.resourceSlices }}
- name: ACCELERATOR_EXPORTER_ATTRIBUTION_RESOURCE_SLICES
  value: "true"
{{- end }}
{{- if $root.Values.web.configSecret }}
- name: ACCELERATOR_EXPORTER_WEB_CONFIG_FILE
  value: /etc/accelerator-exporter/web.yml
{{- end }}
{{- if eq $root.Values.web.tls "mutual" }}
# The kubelet has no certificate.
- name: ACCELERATOR_EXPORTER_WEB_PLAIN_LISTEN_ADDRESS
  value: :9411
{{- end }}
{{- if ne (join "," $root.Values.views) "native" }}
- name: ACCELERATOR_EXPORTER_METRICS_VIEWS
  value: {{ join "," $root.Values.views | quote }}
{{- end }}
{{- with include "accelerator-exporter.options" $root | trim }}
{{- . | nindent 0 }}
{{- end }}
{{- with concat ($group.env | default list) ($root.Values.extraEnv | default list) }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}

{{/* The exporter's options as environment variables. Names of labels only where they are not the default. */}}
{{- define "accelerator-exporter.options" -}}
{{- $options := deepCopy .Values.options -}}
{{- $labels := dict -}}
{{- range $name, $label := .Values.labels -}}
{{- if ne $name $label -}}
{{- $_ := set $labels $name $label -}}
{{- end -}}
{{- end -}}
{{- if $labels -}}
{{- $_ := set $options "labels" $labels -}}
{{- end -}}
{{- range $section, $content := $options }}
{{- if kindIs "map" $content }}
{{- range $name, $value := $content }}
- name: ACCELERATOR_EXPORTER_{{ printf "%s_%s" $section $name | upper }}
  value: {{ include "accelerator-exporter.option" $value | quote }}
{{- end }}
{{- else }}
- name: ACCELERATOR_EXPORTER_{{ $section | upper }}
  value: {{ include "accelerator-exporter.option" $content | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "accelerator-exporter.option" -}}
{{- if kindIs "slice" . }}{{ join "," . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}
