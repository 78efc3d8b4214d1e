"""How fast simlab is beside other libraries: `simlab bench`."""
