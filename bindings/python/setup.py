# SPDX-License-Identifier: Apache-2.0
"""The wheel holds a compiled library but no code for one Python: its tag is py3-none-<platform>."""
from setuptools import setup
from setuptools.dist import Distribution
from wheel.bdist_wheel import bdist_wheel


class Binary(Distribution):
    def has_ext_modules(self):
        return True


class platform_wheel(bdist_wheel):
    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(distclass=Binary, cmdclass={"bdist_wheel": platform_wheel})
