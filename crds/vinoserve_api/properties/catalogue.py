"""Every property of OpenVINO 2026.4.1 that a user may meet: where it works, what it takes, what it does.

Names and values are those of the wheel's headers, of its SUPPORTED_PROPERTIES, and of what compile_model was measured to
take. The tests compare both with the OpenVINO that is installed, so that a new release shows what changed.
"""

from typing import Final, get_args

from vinoserve_api.properties.spec import MAX_INTEGER, Block, PropertySpec, ValueType

_LEVELS = ("LOW", "MEDIUM", "HIGH")
_LOG_LEVELS = ("LOG_NONE", "LOG_ERROR", "LOG_WARNING", "LOG_INFO", "LOG_DEBUG", "LOG_TRACE")


def _on(text: str) -> frozenset[Block]:
    """C G N A M H B: the devices' first letters."""
    return frozenset(block for block in get_args(Block) if block[0] in text)


def _enum(
    key: str, on: str, values: tuple[str, ...], default: str, description: str, *, hint: str | None = None
) -> PropertySpec:
    return PropertySpec(key, _on(on), "enum", description, default, values, hint_field=hint)


def _bool(key: str, on: str, default: str, description: str) -> PropertySpec:
    return PropertySpec(key, _on(on), "bool", description, default)


def _number(
    key: str,
    on: str,
    bounds: tuple[float, float],
    default: str,
    description: str,
    *,
    kind: ValueType = "int",
    hint: str | None = None,
) -> PropertySpec:
    return PropertySpec(key, _on(on), kind, description, default, (), *bounds, hint_field=hint)


def _streams(on: str, keywords: tuple[str, ...], default: str) -> PropertySpec:
    text = "How many inferences run side by side: AUTO, a number, or NUMA (one for each NUMA node) where it is offered."
    return PropertySpec(
        "NUM_STREAMS", _on(on), "streams", text, default, keywords, 1, 1024, hint_field="numStreams"
    )


def _precision(on: str, values: tuple[str, ...], default: str) -> PropertySpec:
    text = "Floating-point precision of the computation; OpenVINO takes the next that the hardware has."
    return _enum("INFERENCE_PRECISION_HINT", on, values, default, text, hint="inferencePrecision")


def _text(key: str, on: str, default: str, description: str, kind: ValueType = "string") -> PropertySpec:
    return PropertySpec(key, _on(on), kind, description, default)


_SETTABLE: Final = (
    # hints
    _enum("PERFORMANCE_HINT", "CGNAM", ("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT"), "LATENCY; MULTI: THROUGHPUT",
          "What to optimise for; CUMULATIVE_THROUGHPUT uses all devices of AUTO at once.", hint="performanceMode"),
    _number("PERFORMANCE_HINT_NUM_REQUESTS", "CGNAM", (0, 65536), "0; NPU: 1",
            "How many requests are kept in flight; 0 leaves it to OpenVINO.", hint="numRequests"),
    _enum("EXECUTION_MODE_HINT", "CGNAM", ("PERFORMANCE", "ACCURACY"), "PERFORMANCE",
          "Whether precision may be traded for speed.", hint="executionMode"),
    _precision("C", ("f32", "f16", "bf16", "dynamic"), "what the CPU computes fastest"),
    _precision("G", ("f32", "f16", "dynamic"), "f16"),
    _precision("N", ("f16", "i8"), "f16"),
    _streams("CN", ("AUTO", "NUMA"), "1; NPU: AUTO"),
    _streams("G", ("AUTO",), "1"),
    _enum("MODEL_PRIORITY", "GNAM", (*_LEVELS, "DEFAULT"), "MEDIUM",
          "Priority against other models on the same device.", hint="modelPriority"),
    # caching and compiling
    _enum("CACHE_MODE", "CGN", ("OPTIMIZE_SPEED", "OPTIMIZE_SIZE"), "OPTIMIZE_SPEED",
          "Whether a cached model holds its weights (loads faster) or not (is smaller)."),
    _text("WEIGHTS_PATH", "CGN", "", "Path in the pod of the weights of a model that is cached without them.", "path"),
    _bool("ENABLE_WEIGHTLESS", "C", "false", "Cache the compiled model without its weights, whatever CACHE_MODE says."),
    PropertySpec("ENABLE_MMAP", _on("CGN"), "bool", "Map a model's weights into memory instead of reading them.", "true",
                 before_read=True),
    _number("COMPILATION_NUM_THREADS", "GN", (1, 1024), "all cores", "CPU threads that compile the model."),
    _bool("ALLOW_AUTO_BATCHING", "GAM", "true", "Let THROUGHPUT gather requests into batches."),
    # threads
    _number("INFERENCE_NUM_THREADS", "C", (0, 1024), "0", "CPU threads for inference; 0: all cores."),
    _bool(
        "ENABLE_CPU_PINNING",
        "CG",
        "CPU: true, GPU: false",
        "Pin threads to cores. vinoserve tells the CPU false where this isn't set: several pods' threads would be pinned to the same "
        "cores. True is for a pod that has cores to itself, as under the kubelet's static CPU policy.",
    ),
    _bool("ENABLE_CPU_RESERVATION", "CG", "false", "Keep the cores for this model: no other in the process gets them."),
    _bool("ENABLE_HYPER_THREADING", "C", "true", "Use both threads of a core."),
    _enum("SCHEDULING_CORE_TYPE", "C", ("ANY_CORE", "PCORE_ONLY", "ECORE_ONLY"), "ANY_CORE",
          "Which cores of a hybrid CPU to use."),
    _enum("MODEL_DISTRIBUTION_POLICY", "C", ("TENSOR_PARALLEL",), "", "Spread the model's tensors over the sockets."),
    _enum("MODEL_DISTRIBUTION_POLICY", "H", ("PIPELINE_PARALLEL",), "", "Spread the model's layers over the devices."),
    # numerics
    _number("DYNAMIC_QUANTIZATION_GROUP_SIZE", "CG", (0, MAX_INTEGER), "CPU: 32, GPU: 0",
            "Elements that share a scale in dynamic quantization; 0: off."),
    _enum("KV_CACHE_PRECISION", "C", ("f32", "f16", "bf16", "u8", "u4", "u3"), "u8",
          "Precision of the key-value cache of language models."),
    _enum("KV_CACHE_PRECISION", "G", ("dynamic", "f16", "i8", "u8", "i4", "u4"), "dynamic",
          "Precision of the key-value cache of language models."),
    _enum("KEY_CACHE_PRECISION", "C", ("f32", "f16", "bf16", "i8", "u8", "u4", "u3"), "u8", "Precision of the key cache."),
    _enum("VALUE_CACHE_PRECISION", "C", ("f32", "f16", "bf16", "u8", "u4", "u3"), "u8", "Precision of the value cache."),
    _number("KEY_CACHE_GROUP_SIZE", "C", (0, MAX_INTEGER), "0", "Elements of the key cache that share a scale; 0: all."),
    _number("VALUE_CACHE_GROUP_SIZE", "C", (0, MAX_INTEGER), "0", "Elements of the value cache that share a scale; 0: all."),
    _number("ACTIVATIONS_SCALE_FACTOR", "G", (-1, MAX_INTEGER), "-1",
            "Divides activations so that f16 doesn't overflow; 0: off, -1: what the model says.", kind="float"),
    # watching
    _bool("PERF_COUNT", "CGNAMB", "false", "Measure the time of every operator."),
    _enum("LOG_LEVEL", "CNAM", _LOG_LEVELS, "LOG_NONE; NPU: LOG_ERROR", "How much the plugin writes to its log."),
    # CPU
    _enum("TBB_PARTITIONER", "C", ("NONE", "STATIC", "AUTO"), "STATIC", "How work is split among threads."),
    _bool("CPU_DENORMALS_OPTIMIZATION", "C", "false", "Take denormal numbers for zero: faster, a little less exact."),
    _number("CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE", "C", (0, 1), "1.0",
            "Share of zeros from which weights are kept packed; 1.0: never.", kind="float"),
    _bool("ENABLE_TENSOR_PARALLEL", "C", "false", "Run matrix multiplications over several sockets."),
    # GPU
    _enum("GPU_QUEUE_PRIORITY", "G", _LEVELS, "MEDIUM", "Priority of the OpenCL queue."),
    _enum("GPU_QUEUE_THROTTLE", "G", _LEVELS, "MEDIUM", "Throttling of the OpenCL queue: LOW spares the host's CPU."),
    _enum("GPU_HOST_TASK_PRIORITY", "G", _LEVELS, "MEDIUM", "Cores of a hybrid host for the plugin: LOW little, HIGH big."),
    _bool("GPU_ENABLE_LOOP_UNROLLING", "G", "true", "Unroll loops of a fixed count: faster below some 16, longer to compile."),
    _bool("GPU_ENABLE_SDPA_OPTIMIZATION", "G", "true", "Keep scaled-dot-product attention as one operation."),
    _bool("GPU_ENABLE_LORA_OPERATION", "G", "true", "Keep LoRA as one operation (rank 256 at most, a multiple of 16)."),
    _bool("GPU_ENABLE_KERNELS_REUSE", "G", "false", "Share kernels: less memory, more work for the host; one stream only."),
    _bool("GPU_DISABLE_WINOGRAD_CONVOLUTION", "G", "false", "No Winograd convolutions: they can cost accuracy."),
    _bool("GPU_ENABLE_LARGE_ALLOCATIONS", "G", "false", "Allow buffers of more than 4 GB; may be slower."),
    _number("GPU_DYNAMIC_QUANTIZATION_GROUP_SIZE_MAX", "G", (0, MAX_INTEGER), "no limit",
            "Group size above which dynamic quantization is turned off."),
    _text("CONFIG_FILE", "G", "", "Path in the pod of a configuration of custom layers.", "path"),
    _number("OFFLOAD_RATIO", "G", (0, 100), "0", "Percentage of a mixture of experts' weights kept off the GPU."),
    # NPU
    _enum("NPU_COMPILER_TYPE", "N", ("PLUGIN", "DRIVER", "PREFER_PLUGIN"), "PREFER_PLUGIN", "Whose compiler to use."),
    _text("NPU_COMPILATION_MODE_PARAMS", "N", "", "The compiler's own options, such as optimization-level=2."),
    _text("NPU_PLATFORM", "N", "", "Platform to compile for; left out: the one that is there."),
    _text("NPU_ENABLE_STRIDES_FOR", "N", "", "Names of inputs and outputs that may be strided, separated by commas."),
    _number("NPU_TILES", "N", (1, 64), "all", "Tiles to compile for."),
    _bool("NPU_BYPASS_UMD_CACHING", "N", "false", "Bypass the driver's own cache."),
    _bool("NPU_DEFER_WEIGHTS_LOAD", "N", "false", "Load the weights at the first inference."),
    _bool("NPU_TURBO", "N", "false", "Keep the NPU at its highest frequency."),
    _bool("NPU_QDQ_OPTIMIZATION", "N", "false", "Optimise models quantized by ONNX Runtime."),
    _bool("NPU_QDQ_OPTIMIZATION_AGGRESSIVE", "N", "false", "The same, for speed before accuracy."),
    _bool("NPU_COMPILER_DYNAMIC_QUANTIZATION", "N", "false", "Dynamic quantization in the compiler."),
    _bool("NPU_RUN_INFERENCES_SEQUENTIALLY", "N", "false", "Run requests in the order in which they started."),
    _bool("NPU_DISABLE_IDLE_MEMORY_PRUNING", "N", "false", "Keep memory while idle."),
    _enum("WORKLOAD_TYPE", "N", ("DEFAULT", "EFFICIENT"), "DEFAULT", "EFFICIENT: lower priority, less power."),
    # AUTO and MULTI
    _enum("SCHEDULE_POLICY", "AM", ("ROUND_ROBIN", "DEVICE_PRIORITY"), "DEVICE_PRIORITY",
          "Which device gets the next request where several run."),
    _bool("DEVICE_BIND_BUFFER", "AM", "false", "Bind a request's buffers to one device."),
    _bool("ENABLE_STARTUP_FALLBACK", "A", "true", "Let the CPU stand in while the chosen device compiles."),
    _bool("ENABLE_RUNTIME_FALLBACK", "A", "true", "Go on with another device when one fails."),
    _text("DEVICES_UTILIZATION_THRESHOLD", "A", "", "Busy percentage above which AUTO passes a device over.", "utilization"),
    _text("PERF_CURVE_TABLE", "A", "", "Scores by busy percentage; AUTO takes the device with the lowest.", "curves"),
    _text("LOW_POWER_DEVICE", "A", "", "Device that AUTO prefers while the machine saves power.", "device"),
    # BATCH
    _number("AUTO_BATCH_TIMEOUT", "B", (0, 3_600_000), "1000", "Milliseconds to wait for a batch to fill."),
)  # fmt: skip

_MANAGED: Final = tuple(
    PropertySpec(key, _on(on), "string", "Set by vinoserve.", managed_by=field)
    for key, on, field in (
        ("CACHE_DIR", "CGNAMHB", "spec.cache.compiled"),
        ("CACHE_PATH", "CGNAMHB", "spec.cache.compiled"),
        ("CACHE_MODEL_PATH", "CGNAMHB", "spec.cache.compiled"),
        ("CACHE_BLOB_ID", "CGNAMHB", "spec.cache.compiled"),
        ("CACHE_ENCRYPTION_CALLBACKS", "CGNAMHB", "spec.cache.compiled"),
        ("DEVICE_ID", "CGNAMHB", "spec.targetDevice"),
        ("MULTI_DEVICE_PRIORITIES", "CGNAMHB", "spec.targetDevice"),
        ("DEVICE_PROPERTIES", "CGNAMHB", "spec.properties (a block for each device)"),
        ("MODEL_PTR", "CGNAMHB", "spec.model"),
        ("COMPILED_BLOB", "CGNAMHB", "spec.model"),
    )
)

_READ_ONLY: Final = tuple(
    PropertySpec(key, _on(on), "string", description, read_only=True)
    for key, on, description in (
        ("SUPPORTED_PROPERTIES", "CGNAMHB", "What can be asked and set."),
        ("AVAILABLE_DEVICES", "CGN", "Ids of the devices."),
        ("FULL_DEVICE_NAME", "CGNAMHB", "The device's name."),
        ("EXECUTION_DEVICES", "CGNAMHB", "What runs the model."),
        ("LOADED_FROM_CACHE", "CGNAMHB", "Whether the compiled model came from the cache."),
        ("NETWORK_NAME", "CGNAMHB", "The model's name."),
        ("OPTIMAL_NUMBER_OF_INFER_REQUESTS", "CGNAMHB", "Requests that keep the device busy."),
        ("OPTIMIZATION_CAPABILITIES", "CGNAMH", "Precisions and features of the device."),
        ("RUNTIME_REQUIREMENTS", "CGN", "What a compiled model needs to be loaded."),
        ("COMPATIBILITY_CHECK", "CGN", "Whether a compiled model can be loaded."),
        ("RANGE_FOR_STREAMS", "CGN", "Fewest and most streams."),
        ("RANGE_FOR_ASYNC_INFER_REQUESTS", "CGN", "Fewest and most requests, and the step."),
        ("OPTIMAL_BATCH_SIZE", "G", "Batch that keeps the device busy."),
        ("MAX_BATCH_SIZE", "G", "Largest batch that fits into the device's memory."),
        ("DEVICE_ARCHITECTURE", "CGN", "Vendor and architecture."),
        ("DEVICE_TYPE", "CGN", "Integrated or discrete."),
        ("DEVICE_UUID", "GN", "UUID of the device."),
        ("DEVICE_LUID", "GN", "LUID of the device."),
        ("DEVICE_GOPS", "GN", "Operations a second, by precision."),
        ("DEVICE_PCI_INFO", "GN", "Address on the PCI bus."),
        ("DEVICE_THERMAL", "G", "Temperature in °C."),
        ("GPU_DEVICE_TOTAL_MEM_SIZE", "G", "Memory in bytes."),
        ("GPU_DEVICE_MAX_ALLOC_MEM_SIZE", "G", "Largest buffer in bytes."),
        ("GPU_MEMORY_STATISTICS", "G", "Bytes in use, by kind of memory."),
        ("GPU_UARCH_VERSION", "G", "Micro-architecture."),
        ("GPU_EXECUTION_UNITS_COUNT", "G", "Number of execution units."),
        ("GPU_CACHELINE_SIZE", "G", "Cache line in bytes."),
        ("GPU_DEVICE_ID", "G", "PCI id of the device."),
        ("NPU_DRIVER_VERSION", "N", "Version of the driver."),
        ("NPU_COMPILER_VERSION", "N", "Version of the compiler."),
        ("NPU_DEVICE_TOTAL_MEM_SIZE", "N", "Memory in bytes."),
        ("NPU_DEVICE_ALLOC_MEM_SIZE", "N", "Memory in use in bytes."),
        ("NPU_MAX_TILES", "N", "Tiles that the device has."),
    )
)  # fmt: skip

CATALOGUE: Final[tuple[PropertySpec, ...]] = (*_SETTABLE, *_MANAGED, *_READ_ONLY)
