// Builds a kustomization with kustomize's own engine and decodes every object that comes out, strictly,
// with Kubernetes' own types: an unknown field, a doubled key, a wrong type or a kind that is not known
// here is an error that names the object. Prints the objects as one JSON array, for the tests that look
// further. Asks no cluster: what an API server would refuse beyond types (a name, a port of 70000) is
// not seen.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// What the manifests may hold, by apiVersion and kind.
var kinds = map[string]func() any{
	"v1/ConfigMap":                       func() any { return &corev1.ConfigMap{} },
	"v1/Namespace":                       func() any { return &corev1.Namespace{} },
	"v1/Service":                         func() any { return &corev1.Service{} },
	"apps/v1/Deployment":                 func() any { return &appsv1.Deployment{} },
	"batch/v1/Job":                       func() any { return &batchv1.Job{} },
	"networking.k8s.io/v1/NetworkPolicy": func() any { return &networkingv1.NetworkPolicy{} },
	"policy/v1/PodDisruptionBudget":      func() any { return &policyv1.PodDisruptionBudget{} },
}

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: manifest-loader FOLDER"))
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).
		Run(filesys.MakeFsOnDisk(), os.Args[1])
	if err != nil {
		fail(err)
	}
	objects := []any{}
	for _, resource := range built.Resources() {
		name := resource.GetApiVersion() + "/" + resource.GetKind()
		create, known := kinds[name]
		if !known {
			fail(fmt.Errorf("%s %q: no type for this kind", name, resource.GetName()))
		}
		text, err := resource.AsYAML()
		if err != nil {
			fail(err)
		}
		object := create()
		if err := yaml.UnmarshalStrict(text, object); err != nil {
			fail(fmt.Errorf("%s %q: %w", name, resource.GetName(), err))
		}
		objects = append(objects, object)
	}
	if err := json.NewEncoder(os.Stdout).Encode(objects); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
