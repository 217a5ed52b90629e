import subprocess
import sys

cmd = ["convert", sys.argv[1], "out.png"]
subprocess.run(cmd, check=True)
