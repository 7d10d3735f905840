{{/*
Device utilization of containers, 0 to 1. No result instead of NaN where nothing was observed: NaN would be read as idle,
or make a sum NaN. Call with (list root selector-of-busy selector-of-observed).
*/}}
{{- define "accelerator-exporter.utilization" -}}
{{- $window := (index . 0).Values.autoscaling.window -}}
rate(accelerator_container_busy_seconds_total{ {{- index . 1 -}} }[{{ $window }}])
/
(rate(accelerator_container_observed_seconds_total{ {{- index . 2 -}} }[{{ $window }}]) > 0)
{{- end -}}

{{/* The `behavior` of a HorizontalPodAutoscaler. */}}
{{- define "accelerator-exporter.scalingBehavior" -}}
{{- $seconds := .Values.autoscaling.scaleUpStabilizationSeconds -}}
scaleUp:
  {{- if $seconds }}
  # A decision to add replicas is carried out when it has been valid for this long. A short peak adds none.
  {{- else }}
  # Each decision to add replicas is carried out at once, for a short peak too.
  {{- end }}
  stabilizationWindowSeconds: {{ $seconds }}
  policies:
    - {type: Pods, value: 2, periodSeconds: 60}
scaleDown:
  # Also the time for which the exporter of a node may be absent without a replica being removed.
  stabilizationWindowSeconds: 300
  policies:
    - {type: Pods, value: 1, periodSeconds: 120}
{{- end -}}
