{{- define "accelerator-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimAll "-" -}}
{{- end -}}

{{/*
The name of every object: short enough for the name of a node group behind it, and one that a Service can have, which is
stricter than the name of a release.
*/}}
{{- define "accelerator-exporter.fullname" -}}
{{- $name := include "accelerator-exporter.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- $name = .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- $name = .Release.Name -}}
{{- else -}}
{{- $name = printf "%s-%s" .Release.Name $name -}}
{{- end -}}
{{- $name = $name | replace "." "-" | trunc 40 | trimAll "-" -}}
{{- if or (not (regexMatch "^[a-z]" $name)) (ne $name (toYaml $name)) -}}
{{- fail (printf "fullnameOverride: found the name %s, expected one that begins with a letter and that YAML reads as text; it is the release's name unless fullnameOverride is set" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* What the pods of all node groups have in common. No version: a selector cannot be changed later. */}}
{{- define "accelerator-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "accelerator-exporter.name" . | toYaml }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: exporter
{{- end -}}

{{- define "accelerator-exporter.labels" -}}
{{ include "accelerator-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "accelerator-exporter.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "accelerator-exporter.metricsPath" -}}
{{- dig "web" "telemetry_path" "/metrics" .Values.options -}}
{{- end -}}

{{/*
Fails where objects are asked for that read the native view and it is not exported: alerts would never fire, and panels
would be empty. Call with (list root value), where value is the name of what asks for them.
*/}}
{{- define "accelerator-exporter.needsNative" -}}
{{- if not (has "native" (index . 0).Values.views) -}}
{{- fail (printf "%s needs native in views: it reads no other names" (index . 1)) -}}
{{- end -}}
{{- end -}}

{{/* A duration of one number and one unit, in milliseconds. */}}
{{- define "accelerator-exporter.milliseconds" -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- mul (trimSuffix $unit .) (get (dict "ms" 1 "s" 1000 "m" 60000) $unit) -}}
{{- end -}}

{{/*
Text with the names of the container's labels in place of the default ones. All are replaced at once, so that a new name
may be the old name of another. Call with (list root text what), where what is the expression of what stands before a name.
*/}}
{{- define "accelerator-exporter.withLabelNames" -}}
{{- $labels := (index . 0).Values.labels -}}
{{- $text := index . 1 -}}
{{- $before := index . 2 -}}
{{- $marks := dict "namespace" "\x01" "pod" "\x02" "container" "\x03" -}}
{{- range $name, $mark := $marks -}}
{{- $text = regexReplaceAll (printf "(%s)%s\\b" $before $name) $text (print "${1}" $mark) -}}
{{- end -}}
{{- range $name, $mark := $marks -}}
{{- $text = replace $mark (get $labels $name) $text -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{/*
The text of an annotation with the names of the container's labels in its template actions: elsewhere they are words.
Call with (list root text).
*/}}
{{- define "accelerator-exporter.annotation" -}}
{{- $root := index . 0 -}}
{{- range $number, $part := splitList "{{" (index . 1) -}}
{{- if eq $number 0 -}}
{{- $part -}}
{{- else -}}
{{- $ends := splitn "}}" 2 $part -}}
{{- print "{{" (include "accelerator-exporter.withLabelNames" (list $root $ends._0 "\\b")) "}}" $ends._1 -}}
{{- end -}}
{{- end -}}
{{- end -}}
