import setuptools

setuptools.setup(setup_requires=['pbr>=7.1.3'], pbr=True)
