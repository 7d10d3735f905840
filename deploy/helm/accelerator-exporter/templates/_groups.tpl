{{/*
The node groups, each with what its preset and the chart give it, as JSON. What a group says itself takes precedence, also
a false or an empty list.
*/}}
{{- define "accelerator-exporter.groups" -}}
{{- $groups := list -}}
{{- $names := list -}}
{{- $places := dict -}}
{{- range .Values.nodeGroups -}}
{{- if has .name $names -}}
{{- fail (printf "nodeGroups: two groups have the name %s; give each its own" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- $group := pick $.Values "tolerations" "resources" -}}
{{- with .preset -}}
{{- $file := $.Files.Get (printf "presets/%s.yaml" .) | fromYaml -}}
{{- range $key, $value := first $file.nodeGroups -}}
{{- $_ := set $group $key $value -}}
{{- end -}}
{{- end -}}
{{- $features := dict -}}
{{- range $name, $feature := $.Values.features -}}
{{- $_ := set $features $name $feature.enabled -}}
{{- end -}}
{{- range $source := list ($group.features | default dict) (.features | default dict) -}}
{{- range $name, $feature := $source -}}
{{- $_ := set $features $name $feature.enabled -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := omit . "preset" -}}
{{- $_ := set $group $key $value -}}
{{- end -}}
{{- $_ := set $group "features" $features -}}
{{- $_ := set $group "privileged" (or $group.privileged $features.amdPartitions | default false) -}}
{{- if and $features.processesAmdFdinfo (not $features.processes) -}}
{{- fail (printf "features.processesAmdFdinfo needs features.processes (node group %s): without the host's process ids there is nothing to read" .name) -}}
{{- end -}}
{{- $place := toJson (pick $group "nodeSelector" "nodeSelectorTerms" "nodeExclusions" "tolerations") -}}
{{- with get $places $place -}}
{{- fail (printf "nodeGroups: %s and %s have the same nodes, so each of these nodes would have two exporters; give one of them a nodeSelector" . $group.name) -}}
{{- end -}}
{{- $_ := set $places $place $group.name -}}
{{- $groups = append $groups $group -}}
{{- end -}}
{{- $groups | toJson -}}
{{- end -}}

{{/* Which features and rights any group has, as JSON: for objects that all groups share. */}}
{{- define "accelerator-exporter.any" -}}
{{- $any := dict "privileged" false -}}
{{- range include "accelerator-exporter.groups" . | fromJsonArray -}}
{{- $_ := set $any "privileged" (or $any.privileged .privileged) -}}
{{- range $name, $enabled := .features -}}
{{- $_ := set $any $name (or (get $any $name) $enabled) -}}
{{- end -}}
{{- end -}}
{{- $any | toJson -}}
{{- end -}}

{{/* The terms of a group's node affinity: each with the exclusions; one of exclusions alone if there are no others. */}}
{{- define "accelerator-exporter.nodeSelectorTerms" -}}
{{- $exclusions := .nodeExclusions | default list -}}
{{- range .nodeSelectorTerms | default (list dict) }}
- matchExpressions:
    {{- range concat (.matchExpressions | default list) $exclusions }}
    - key: {{ .key | toYaml }}
      operator: {{ .operator }}
      {{- with .values }}
      values: [{{ range $index, $value := . }}{{ if $index }}, {{ end }}{{ $value | quote }}{{ end }}]
      {{- end }}
    {{- end }}
{{- end }}
{{- end -}}
