"""Programs that index a folder of photos and look others up, as a user of each library would write them.

queries.py makes the photos that are looked up. Each program runs in an environment of its own and imports
nothing of this folder. All are called the same way:

    PROGRAM index STORE FOLDER    embed every *.jpg of FOLDER, keep the result in STORE, a new folder
    PROGRAM query STORE FOLDER    print JSON: name of each *.jpg of FOLDER -> name of the nearest in STORE
"""
