{{- define "vinoserve.fullname" -}}
{{- if contains "vinoserve" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-vinoserve" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "vinoserve.selectorLabels" -}}
app.kubernetes.io/name: vinoserve-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "vinoserve.labels" -}}
{{ include "vinoserve.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: vinoserve
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* What the operator puts on every model pod. */ -}}
{{- define "vinoserve.modelLabels" -}}
app.kubernetes.io/name: inferenceservice
app.kubernetes.io/managed-by: vinoserve
{{- end -}}

{{- /* Selects those, and the pods of the Jobs that compile for them. */ -}}
{{- define "vinoserve.workloadSelector" -}}
matchLabels:
  app.kubernetes.io/managed-by: vinoserve
matchExpressions:
  - {key: app.kubernetes.io/name, operator: In, values: [inferenceservice, inferenceservice-compile]}
{{- end -}}

{{- define "vinoserve.operatorImage" -}}
{{- printf "%s:%s" .Values.operator.image.repository (.Values.operator.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{- define "vinoserve.runtimeImage" -}}
{{- printf "%s:%s" .Values.runtime.image.repository (.Values.runtime.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{- /* The AcceleratorClasses to start with, as a JSON list of whole objects. */ -}}
{{- define "vinoserve.classes" -}}
{{- $classes := list -}}
{{- range $value, $class := .Values.acceleratorClasses -}}
{{- if $class.create -}}
{{- $metadata := dict "name" (kebabcase $value) "labels" (dict "app.kubernetes.io/part-of" "vinoserve") -}}
{{- if $class.default -}}
{{- $_ := set $metadata "annotations" (dict "vinoserve.dev/is-default-class" "true") -}}
{{- end -}}
{{- $spec := dict
  "deviceType" (trimPrefix "INTEL" (upper $value))
  "access" "DevicePlugin"
  "devicePlugin" (dict "resourceName" $class.resourceName)
  "exclusive" $class.exclusive
  "nodeSelector" $class.nodeSelector
  "tolerations" $class.tolerations
-}}
{{- if $class.renderGroups -}}
{{- $_ := set $spec "renderGroups" $class.renderGroups -}}
{{- end -}}
{{- if not (kindIs "invalid" $class.allowedNamespaces) -}}
{{- $_ := set $spec "allowedNamespaces" $class.allowedNamespaces -}}
{{- end -}}
{{- $classes = append $classes (dict "apiVersion" "vinoserve.dev/v1alpha1" "kind" "AcceleratorClass" "metadata" $metadata "spec" $spec) -}}
{{- end -}}
{{- end -}}
{{- $classes | toPrettyJson -}}
{{- end -}}
