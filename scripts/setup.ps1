<#
.SYNOPSIS
  The steps of the Makefile on Windows: build, the demo and the tests, set-up included.
.EXAMPLE
  .\scripts\setup.ps1 build
  .\scripts\setup.ps1 demo
  .\scripts\setup.ps1 demo -File model.safetensors
  .\scripts\setup.ps1 test
#>
param(
    [Parameter(Mandatory)][ValidateSet("build", "demo", "test")][string]$Step,
    [string]$File
)
$ErrorActionPreference = "Stop"
Set-Location (Split-Path $PSScriptRoot)

function Invoke-Step {
    param([string]$Program, [string[]]$Arguments)
    & $Program @Arguments
    if ($LASTEXITCODE -ne 0) { throw "$Program $Arguments ended with $LASTEXITCODE" }
}

if (-not (Get-Command cargo -ErrorAction SilentlyContinue)) { throw "Rust is needed: https://rustup.rs" }
$venv = Join-Path (Get-Location) ".venv"
$python = Join-Path $venv "Scripts\python.exe"
$maturin = Join-Path $venv "Scripts\maturin.exe"
$stamp = Join-Path $venv ".installed"
$env:VIRTUAL_ENV = $venv
$env:PYO3_PYTHON = $python

if (-not (Test-Path $stamp) -or (Get-Item $stamp).LastWriteTime -lt (Get-Item pyproject.toml).LastWriteTime) {
    if (Get-Command py -ErrorAction SilentlyContinue) { Invoke-Step "py" @("-3", "-m", "venv", $venv) }
    else { Invoke-Step "python" @("-m", "venv", $venv) }
    Invoke-Step $python @("-c", "import sys; assert sys.version_info >= (3, 11), 'Python 3.11 or newer is needed'")
    Invoke-Step $python @("-m", "pip", "install", "--quiet", "--upgrade", "pip", "maturin>=1.9.4,<2")
    Invoke-Step $maturin @("develop", "--release", "--locked", "--extras", "dev")
    New-Item -ItemType File -Force $stamp | Out-Null
} else {
    Invoke-Step $maturin @("develop", "--quiet", "--release", "--locked", "--skip-install")
}

if ($Step -eq "demo") {
    $arguments = @("scripts\demo.py")
    if ($File) { $arguments += $File }
    Invoke-Step $python $arguments
} elseif ($Step -eq "test") {
    Invoke-Step "cargo" @("test", "--locked", "-q", "-p", "mmh-kernels", "-p", "mmh-core")
    Invoke-Step $python @("-m", "pytest")
}
