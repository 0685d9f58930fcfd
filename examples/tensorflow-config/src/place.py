"""Read TF_CONFIG as TensorFlow's cluster resolver does."""

import json
import os

config = json.loads(os.environ["TF_CONFIG"])
task = config["task"]
print(f"I am {task['type']} {task['index']} at {config['cluster'][task['type']][task['index']]}")
for kind, addresses in sorted(config["cluster"].items()):
    print(f"{kind}: {', '.join(addresses)}")
