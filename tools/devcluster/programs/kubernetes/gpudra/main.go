// Command gpudra is a DRA driver (resource.k8s.io/v1) named gpu.intel.com, as Intel's is: it publishes the
// GPUs found under -sysfs as a ResourceSlice with the same attributes and capacities, and puts an allocated GPU's
// card and render node into the container through CDI. There is no GPU behind them.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"
	"k8s.io/dynamic-resource-allocation/resourceslice"
)

const driver = "gpu.intel.com"

var (
	kubeconfig = flag.String("kubeconfig", "", "kubeconfig; empty: in-cluster")
	node       = flag.String("node", os.Getenv("NODE_NAME"), "node name")
	sysfs      = flag.String("sysfs", "/sys/class/drm", "folder with card* entries")
	memory     = flag.String("memory", "16Gi", "each GPU's memory; Intel's driver says 0 where it may not ask the kernel")
	health     = flag.String("health", "Healthy", "each GPU's health; Intel's driver says Unknown where nothing monitors it")
	model      = flag.String("model", "Flex 170", "each GPU's model name")
	family     = flag.String("family", "Data Center Flex", "each GPU's family name")
	cdi        = flag.String("cdi", "/run/cdi", "folder for the CDI spec")
	sick       = flag.String("unhealthy", "", "a file; the GPUs named in it (card0), one a line, are tainted and Unhealthy")
)

type gpu struct{ card, render, bdf, id, driver, name string }

func gpus() (all []gpu) {
	cards, _ := filepath.Glob(filepath.Join(*sysfs, "card[0-9]*"))
	for _, c := range cards {
		real, err := filepath.EvalSymlinks(filepath.Join(c, "device"))
		if err != nil || strings.Contains(filepath.Base(c), "-") {
			continue
		}
		id, _ := os.ReadFile(filepath.Join(real, "device"))
		drv, _ := os.Readlink(filepath.Join(real, "driver"))
		render, _ := filepath.Glob(filepath.Join(real, "drm/renderD*"))
		g := gpu{card: filepath.Base(c), bdf: filepath.Base(real), id: strings.TrimSpace(string(id)), driver: filepath.Base(drv)}
		if len(render) == 1 {
			g.render = filepath.Base(render[0])
		}
		g.name = strings.NewReplacer(":", "-", ".", "-").Replace(g.bdf) + "-" + g.id
		all = append(all, g)
	}
	return all
}

// spec writes the CDI file that names each GPU's nodes.
func spec(all []gpu) error {
	var devices []map[string]any
	for _, g := range all {
		nodes := []map[string]string{}
		for _, n := range []string{g.card, g.render} {
			nodes = append(nodes, map[string]string{"path": "/dev/dri/" + n, "hostPath": "/dev/dri/" + n, "permissions": "rw"})
		}
		devices = append(devices, map[string]any{"name": g.name, "containerEdits": map[string]any{"deviceNodes": nodes}})
	}
	b, _ := json.Marshal(map[string]any{"cdiVersion": "0.6.0", "kind": "intel.com/gpu", "devices": devices})
	if err := os.MkdirAll(*cdi, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(*cdi, "intel.com-gpu.json"), b, 0o644)
}

func resources(all []gpu) resourceslice.DriverResources {
	str := func(s string) resourceapi.DeviceAttribute { return resourceapi.DeviceAttribute{StringValue: &s} }
	no := false
	bad, _ := os.ReadFile(*sick)
	var devices []resourceapi.Device
	for _, g := range all {
		d := resourceapi.Device{Name: g.name,
			Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
				"model": str(*model), "family": str(*family), "driver": str(g.driver), "type": str("gpu"), "sriov": {BoolValue: &no},
				"pciId": str(g.id), "pciAddress": str(g.bdf), "health": str(*health), "resource.kubernetes.io/pciBusID": str(g.bdf)},
			Capacity: map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{
				"memory": {Value: resource.MustParse(*memory)}, "millicores": {Value: resource.MustParse("1000")}}}
		if strings.Contains("\n"+string(bad)+"\n", "\n"+g.card+"\n") {
			d.Attributes["health"] = str("Unhealthy")
			d.Taints = []resourceapi.DeviceTaint{{Key: driver + "/unhealthy", Effect: resourceapi.DeviceTaintEffectNoExecute}}
		}
		devices = append(devices, d)
	}
	return resourceslice.DriverResources{Pools: map[string]resourceslice.Pool{*node: {Slices: []resourceslice.Slice{{Devices: devices}}}}}
}

type plugin struct{}

func (plugin) PrepareResourceClaims(_ context.Context, claims []*resourceapi.ResourceClaim) (map[types.UID]kubeletplugin.PrepareResult, error) {
	out := map[types.UID]kubeletplugin.PrepareResult{}
	for _, c := range claims {
		var r kubeletplugin.PrepareResult
		for _, a := range c.Status.Allocation.Devices.Results {
			if a.Driver == driver {
				r.Devices = append(r.Devices, kubeletplugin.Device{Requests: []string{a.Request}, PoolName: a.Pool, DeviceName: a.Device, CDIDeviceIDs: []string{"intel.com/gpu=" + a.Device}})
			}
		}
		log.Printf("prepare %s/%s: %v", c.Namespace, c.Name, r.Devices)
		out[c.UID] = r
	}
	return out, nil
}

func (plugin) UnprepareResourceClaims(_ context.Context, claims []kubeletplugin.NamespacedObject) (map[types.UID]error, error) {
	out := map[types.UID]error{}
	for _, c := range claims {
		log.Printf("unprepare %s/%s", c.Namespace, c.Name)
		out[c.UID] = nil
	}
	return out, nil
}

func (plugin) HandleError(_ context.Context, err error, msg string) { log.Print(msg, ": ", err) }

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	all := gpus()
	if err := spec(all); err != nil {
		return err
	}
	data := filepath.Join(kubeletplugin.KubeletPluginsDir, driver)
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	helper, err := kubeletplugin.Start(ctx, plugin{}, kubeletplugin.DriverName(driver), kubeletplugin.KubeClient(client), kubeletplugin.NodeName(*node))
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer helper.Stop()
	for last := ""; ctx.Err() == nil; time.Sleep(time.Second) {
		now := resources(all)
		b, _ := json.Marshal(now)
		if string(b) == last {
			continue
		}
		if err := helper.PublishResources(ctx, now); err != nil {
			log.Print(err)
			continue
		}
		last = string(b)
		log.Printf("published %d GPU(s)", len(all))
	}
	return nil
}
