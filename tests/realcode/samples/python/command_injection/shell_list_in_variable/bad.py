import subprocess
import sys

cmd = ["bash", "-c", "convert " + sys.argv[1] + " out.png"]
subprocess.run(cmd, check=True)
