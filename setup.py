"""Packaging of the ComCam Archiver.

``requirements.txt``, which set-up installs, pins the tested versions. The ranges here are what the
code needs, for a site with its own environment. The version is computed from git's tags: see
``[tool.setuptools_scm]`` in pyproject.toml.
"""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def deployment() -> list[tuple[str, list[str]]]:
    """Return the files that a site needs besides the programs, for share/ccarchiver."""
    files = [
        "supervisord.conf",
        *(str(path.relative_to(HERE)) for path in (HERE / "deploy").rglob("*") if path.is_file()),
    ]
    folders = sorted({str(Path(name).parent) for name in files})
    return [
        (
            str(Path("share/ccarchiver", folder)),
            sorted(name for name in files if str(Path(name).parent) == folder),
        )
        for folder in folders
    ]


def read_readme() -> str:
    """Return the README as the long description, or an empty text in a partial tree."""
    readme = HERE / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


setup(
    name="ccarchiver",
    description="The ComCam Archiver: a SAL component that archives every exposure "
    "on disk and in the butler.",
    long_description=read_readme(),
    long_description_content_type="text/markdown",
    license="GPL-3.0-or-later",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: AsyncIO",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Astronomy",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=find_packages(include=["ccarchiver_*"]),
    # Lua scripts, templates and the type marker are beside the code that uses them.
    package_data={
        "ccarchiver_health.web": ["static/*", "entries/*"],
        "ccarchiver_core.status.night_view": ["static/*"],
        "": ["py.typed", "*.lua", "*.yaml", "*.json", "*.txt"],
    },
    install_requires=[
        "aiohttp>=3.10",
        "astropy>=5.3",
        "hiredis>=3",
        "jsonschema>=4",  # salobj imports it but does not declare it
        "markdown-it-py>=3",
        "moto[s3]>=4.2,<5",  # likewise
        "numpy>=1.24",
        "pika>=1.3",
        "prometheus-client>=0.20",
        "psutil>=5.9.3",
        "pydantic>=2.7",
        "PyYAML>=6.0",
        "redis>=5.3",
        "rich>=13",
        "structlog>=24.1",
        "supervisor>=4.2",
        "ts-salobj>=6.9,<8",
        "typer>=0.12",
        "typing_extensions>=4.12",
    ],
    # Stand-ins for dependencies of ts-salobj. Without this extra an environment needs the genuine
    # packages; see docs/explanations/middleware.md. Package indexes reject local versions, so these
    # exact versions can only be ours.
    extras_require={
        "middleware": [
            "ccarchiver-genuine-first==1.0.0+ccarchiver",
            "ccarchiver-idl==1.2.0+ccarchiver",
            "ts-dds==0.1.0+ccarchiver",
            "ts-ddsconfig==0.1.0+ccarchiver",
            "ts-utils==0.1.0+ccarchiver",
        ],
        # The simulated OODS ingests into a Butler repository; the archiver itself does not use it.
        "butler": ["lsst-daf-butler>=30.2026"],
    },
    data_files=deployment(),
    entry_points={
        "console_scripts": [
            "run_ccarchiver_sal = ccarchiver_sal.main:main",
            "command_ccarchiver = ccarchiver_sal.commander:main",
            "run_ccarchiver_bridge = ccarchiver_bridge.main:main",
            "run_ccarchiver_health = ccarchiver_health.main:main",
            "run_ccarchiver_event_listener = ccarchiver_health.listener.main:main",
            "ccarchiver = ccarchiver_cli.main:main",
            "ccarchiver-sim-camera = ccarchiver_sim.peers.camera.main:main",
            "ccarchiver-sim-header = ccarchiver_sim.peers.header_service.main:main",
            "ccarchiver-sim-forwarder = ccarchiver_sim.peers.forwarder.main:main",
            "ccarchiver-sim-controller = ccarchiver_sim.peers.controller.main:main",
            "ccarchiver-sim-oods = ccarchiver_sim.peers.oods.main:main",
            "ccarchiver-sim-backbone = ccarchiver_sim.peers.backbone.main:main",
            "ccarchiver-demo = ccarchiver_sim.demo.main:main",
        ],
    },
    zip_safe=False,
)
