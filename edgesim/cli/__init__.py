"""The command line: parse, call the library once, print. Heavy imports stay inside the commands."""

# Every command and its line on the help page, in the order of that page; the module of the same name has the
# rest. It is here so that the page needs none of the modules.
COMMANDS = {
    "demo": "see it work on real photographs",
    "index": "add images to an index, list and remove them",
    "query": "look images up in an index",
    "calibrate": "find the similarities from which queries answer match, no match or unsure",
    "explain": "show which regions of two pictures agree, and the margin to the next candidate",
    "train": "train the compact encoder",
    "evaluate": "measure how well an encoder tells the classes of a data set apart",
    "isc21": "describe, match and score image sets in the files of the Image Similarity Challenge 2021",
    "export": "make int8 models for a device and check them",
    "bundle": "check a bundle, show what it holds, sign it, put it into use on a device",
    "bench": "measure an encoder on this machine: time, memory, engines, budgets; compare two measurements",
    "profiles": "list the device profiles, or show one with its sources",
    "doctor": "say what this machine has, what is missing, and the cure",
}
