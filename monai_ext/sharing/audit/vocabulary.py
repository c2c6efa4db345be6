"""Words of configs: what is known to be harmless, and what is known to run code, reach files or reach the network."""

from __future__ import annotations

__all__ = [
    "DANGEROUS_ARGUMENTS",
    "DANGEROUS_BUILTINS",
    "DANGEROUS_LEAVES",
    "DANGEROUS_METHODS",
    "DANGEROUS_MODULES",
    "DEFAULT_GLOBALS",
    "HARMLESS_BUILTINS",
    "HARMLESS_METHODS",
    "HARMLESS_MODULES",
    "HARMLESS_NAMES",
    "LOOKED_UP",
    "MONAI_SHELVES",
    "PARSER",
    "QUESTIONED_ARGUMENTS",
    "QUESTIONED_CLASSES",
    "TORCH_SHELVES",
]

DEFAULT_GLOBALS = {"monai": "monai", "torch": "torch", "np": "numpy", "numpy": "numpy"}
"""Names that MONAI's expressions have without an import."""

MONAI_SHELVES = (
    *("monai.transforms", "monai.networks.nets", "monai.networks.blocks", "monai.networks.layers", "monai.losses"),
    *("monai.data", "monai.inferers", "monai.handlers", "monai.engines", "monai.metrics", "monai.optimizers"),
    *("monai.visualize", "monai.utils"),
)
"""Modules that a name without dots is looked up in; MONAI looks into all that it has loaded."""

TORCH_SHELVES = ("torch.nn", "torch.optim", "torch.optim.lr_scheduler", "torch.utils.data")
"""Modules of torch whose classes do arithmetic and count."""

HARMLESS_BUILTINS = {
    *("abs", "all", "any", "bool", "bytes", "complex", "dict", "divmod", "enumerate", "filter", "float", "frozenset"),
    *("int", "isinstance", "iter", "len", "list", "map", "max", "min", "next", "print", "range", "repr", "reversed"),
    *("round", "set", "slice", "sorted", "str", "sum", "tuple", "zip", "True", "False", "None"),
}
DANGEROUS_BUILTINS = {
    *("__import__", "breakpoint", "classmethod", "compile", "delattr", "dir", "eval", "exec", "exit", "getattr"),
    *("globals", "hasattr", "help", "input", "locals", "memoryview", "object", "open", "property", "quit", "setattr"),
    *("staticmethod", "super", "type", "vars"),
}
HARMLESS_MODULES = {
    *("collections", "csv", "datetime", "functools", "glob", "hashlib", "ignite", "itertools", "json", "logging"),
    *("math", "monai", "numpy", "operator", "os", "os.path", "pathlib", "PIL", "random", "re", "scipy", "sys", "time"),
    *("torch", "torch.distributed", "torch.nn", "torch.nn.functional", "torch.optim", "warnings", "typing", "types"),
    *(*MONAI_SHELVES, "monai.networks", "monai.config", "ignite.engine", "ignite.handlers", "ignite.metrics"),
    *("nibabel", "pandas", "skimage", "sklearn", "string", "statistics", "torchvision"),
}
"""Modules whose import alone does nothing; what is used of them is judged name by name."""

DANGEROUS_MODULES = {
    *("antigravity", "ast", "asyncio", "atexit", "base64", "builtins", "bz2", "cffi", "cProfile", "code", "codecs"),
    *("codeop", "ctypes", "dbm", "dill", "distutils", "doctest", "ensurepip", "fcntl", "fileinput"),
    *("ftplib", "gc", "getpass", "http", "httpx", "imaplib", "imp", "importlib", "inspect", "joblib", "linecache"),
    *("marshal", "mmap", "multiprocessing", "nntplib", "paramiko", "pdb", "pickle", "cloudpickle", "pip", "pkgutil"),
    *("platform", "poplib", "posix", "profile", "pty", "py_compile", "pydoc", "requests", "resource", "runpy"),
    *("setuptools", "sched", "select", "shelve", "shutil", "signal", "site", "smtplib", "socket", "socketserver"),
    *("sqlite3", "ssl", "subprocess", "symtable", "sysconfig", "tarfile", "telnetlib", "tempfile", "threading"),
    *("timeit", "trace", "tracemalloc", "urllib", "urllib3", "venv", "webbrowser", "winreg", "xmlrpc", "zipapp"),
    *("zipfile", "zipimport", "_thread", "fabric", "sh", "nt", "yaml", "aiohttp", "websockets", "numba", "cython"),
}
DANGEROUS_LEAVES = {
    *("system", "popen", "Popen", "check_output", "check_call", "run_cmd", "exec", "eval", "spawn"),
    *("execv", "execve", "fork", "forkpty", "kill", "remove", "unlink", "rmtree", "rmdir", "removedirs", "rename"),
    *("chmod", "chown", "symlink", "link", "startfile", "putenv", "environ", "modules", "settrace", "setprofile"),
    *("load_module", "import_module", "optional_import", "load_submodules", "instantiate", "locate", "Pickler"),
    *("Unpickler", "load_library", "load_inline", "dlopen", "CDLL", "load_url", "load_state_dict_from_url"),
    *("download_url", "download_url_to_file", "download_and_extract", "download_mmar", "extractall", "download"),
    *("fromfile", "tofile", "memmap", "ctypeslib", "ctypes", "f2py", "DataSource", "genfromtxt", "loadtxt", "hub"),
    *("jit", "package", "PackageImporter", "cpp_extension", "load_package", "aoti_load_package", "inductor_config"),
    *("read_pickle", "to_pickle", "attrgetter", "methodcaller", "FunctionType", "CodeType", "ModuleType"),
    *("SourceFileLoader", "init_bundle", "download_large_files", "create_workflow", "ConfigWorkflow", "AutoRunner"),
    *("BundleGen", "BundleAlgo", "import_bundle_algo", "push_to_hf_hub", "run_workflow", "fileConfig", "dictConfig"),
    *("basicConfig", "FileHandler", "SocketHandler", "HTTPHandler", "SMTPHandler", "listen", "path_hooks"),
}
DANGEROUS_METHODS = (DANGEROUS_LEAVES - {"modules", "remove", "link", "jit", "package", "hub"}) | {
    *("write", "write_text", "write_bytes", "open", "touch", "symlink_to", "hardlink_to", "link_to", "mkdir"),
    *("save", "dump", "dumps", "tobytes", "to_csv", "to_json", "to_hdf", "query", "connect", "send", "sendall"),
    *("recv", "urlopen", "urlretrieve", "get_data", "post", "put", "requests", "subprocess", "os", "sys", "builtins"),
    *("expanduser", "mro", "func_globals", "gi_frame", "f_globals", "f_back", "tb_frame", "co_code"),
}
HARMLESS_METHODS = {
    *("run", "parameters", "named_parameters", "state_dict", "load_state_dict", "to", "cuda", "cpu", "train"),
    *("keys", "values", "items", "get", "split", "join", "format", "replace", "strip", "lower", "upper", "title"),
    *("startswith", "endswith", "index", "count", "copy", "tolist", "item", "numpy", "detach"),
    *("mean", "sum", "max", "min", "argmax", "argmin", "softmax", "sigmoid", "round", "astype", "reshape", "view"),
    *("flatten", "unsqueeze", "squeeze", "permute", "transpose", "float", "long", "bool", "shape", "size", "ndim"),
    *("state", "metrics", "output", "batch", "epoch", "iteration", "max_epochs", "epoch_length", "device", "dtype"),
    *("data", "dataset", "network", "module", "train_data", "val_data", "images", "labels", "name", "stem", "parent"),
    *("suffix", "glob", "exists", "isoformat", "strftime", "is_dir", "is_file", "attach", "step", "zero_grad"),
    *(
        "optimizer",
        "named_children",
        "children",
        "modules",
        "named_modules",
        "features",
        "fc",
        "in_features",
        "out_features",
        "eval",
        "close",
    ),
    *("zfill", "rsplit", "partition", "isdigit", "any", "all", "abs", "clamp", "T", "hexdigest", "writerow"),
    *("writerows", "forward", "requires_grad_", "init_process_group", "evaluator", "trainer", "rank"),
}
HARMLESS_NAMES = {
    *("torch.device", "torch.cuda.is_available", "torch.cuda.device_count", "torch.cuda.set_device", "torch.float32"),
    *("torch.float16", "torch.float64", "torch.bfloat16", "torch.int64", "torch.int32", "torch.uint8", "torch.bool"),
    *("torch.long", "torch.float", "torch.half", "torch.tensor", "torch.as_tensor", "torch.zeros", "torch.ones"),
    *("torch.cat", "torch.stack", "torch.no_grad", "torch.manual_seed", "torch.linspace", "torch.arange", "torch.sum"),
    *("torch.argmax", "torch.softmax", "torch.sigmoid", "torch.mean", "torch.flip", "torch.channels_last"),
    *("torch.distributed.init_process_group", "torch.distributed.destroy_process_group", "torch.distributed.get_rank"),
    *("torch.distributed.get_world_size", "torch.distributed.is_initialized", "torch.distributed.barrier"),
    *("torch.nn.functional.softmax", "torch.nn.functional.relu", "torch.backends.cudnn", "torch.Tensor", "torch.where"),
    "torch.nn.parallel.DistributedDataParallel",
    *("torch.optim.lr_scheduler.StepLR", "torch.get_default_dtype", "torch.load", "torch.nn.parallel"),
    *("numpy.array", "numpy.asarray", "numpy.arange", "numpy.linspace", "numpy.float32", "numpy.uint8", "numpy.int64"),
    *("numpy.mean", "numpy.sum", "numpy.max", "numpy.min", "numpy.argmax", "numpy.clip", "numpy.round", "numpy.pi"),
    *("numpy.concatenate", "numpy.stack", "numpy.prod", "numpy.sqrt", "numpy.log", "numpy.exp", "numpy.eye"),
    *("os.path.join", "os.path.basename", "os.path.dirname", "os.path.exists", "os.path.isfile", "os.path.isdir"),
    *("os.path.abspath", "os.path.splitext", "os.sep", "os.makedirs", "pathlib.Path", "glob.glob", "sys.exit"),
    *("sys.stdout", "sys.stderr", "math.ceil", "math.floor", "math.pi", "math.sqrt", "math.log", "datetime.datetime"),
    *("datetime.datetime.now", "itertools.chain", "itertools.chain.from_iterable", "itertools.repeat"),
    *("itertools.count", "itertools.product", "functools.partial", "functools.reduce", "operator.itemgetter"),
    *("operator.mul", "collections.OrderedDict", "random.seed", "random.shuffle", "json.loads", "time.strftime"),
    "monai_ext.networks.build_segmenter",  # models/model.json of a segmentation bundle names it
    *("monai.utils.set_determinism", "monai.handlers.from_engine", "monai.data.decollate_batch", "logging.getLogger"),
    *("monai.data.list_data_collate", "monai.utils.first", "monai.data.partition_dataset", "warnings.filterwarnings"),
    *("monai.handlers.utils.from_engine", "monai.data.load_decathlon_datalist", "monai.__version__", "re.sub"),
    *(
        "monai.data.utils.list_data_collate",
        "monai.handlers.stopping_fn_from_metric",
        "re.compile",
    ),
    *("ignite.metrics.Accuracy", "ignite.metrics.Loss", "ignite.distributed.get_rank", "monai.utils.misc.first"),
    *("torch.utils.data.ConcatDataset", "monai.networks.utils.copy_model_state", "torch.cuda.amp.autocast"),
    *("dict.fromkeys", "str.lower", "str.upper", "str.join", "str.format", "dict.get", "float.is_integer"),
}
"""Names of modules that do arithmetic, name things, or list files."""

QUESTIONED_CLASSES = {
    "MLFlowHandler": "it sends what it records to an address",
    **dict.fromkeys(
        ("ClearMLHandler", "ClearMLStatsHandler", "ClearMLImageHandler"), "it sends what it records to an address"
    ),
    "PerceptualLoss": "it fetches networks from elsewhere, and some of them with code that is run at once",
    **dict.fromkeys(("EfficientNetBN", "TextEncoder"), "unless told not to, it fetches weights from elsewhere"),
    **dict.fromkeys(
        ("PersistentDataset", "CacheNTransDataset", "LMDBDataset", "GDSDataset"),
        "it keeps pickles in a folder, and reads those that lie there",
    ),
    "NumpyReader": "it can read arrays of Python objects, which are pickles",
}
"""Classes of MONAI that are often used and can do more than others."""

DANGEROUS_ARGUMENTS = {
    "allow_pickle": (True, "arrays of Python objects are pickles, which run code"),
    "weights_only": (False, "a checkpoint that is loaded like this runs code"),
    "trust_remote_code": (True, "code from elsewhere is downloaded and run"),
    "shell": (True, "a command would be run"),
    "_debug_": (True, "MONAI starts the debugger"),
    "pickle_module": (..., "a checkpoint would be read by a reader of the bundle's choice"),
}
"""Arguments of components, the value that is refused (... for any), and why."""

QUESTIONED_ARGUMENTS = {"pretrained": "weights are fetched from elsewhere, where there is a network"}
"""Arguments that are worth a look where they are true, and why."""

LOOKED_UP = {"reader", "writer", "merger_cls"}
"""Arguments of MONAI's components that name something in any module, which is then called."""

PARSER = "it evaluates what it is given as a config, and nothing here has looked at that"
"""What is wrong with MONAI's parser within a config."""
