<#
.SYNOPSIS
  mmh from this clone, set up on first use: a menu, or what mmh does with the same arguments, exit code included.
.DESCRIPTION
  Needs Rust and Python 3.11 or newer, and installs into the clone alone (.venv, target). After the sources have changed,
  .\scripts\setup.ps1 build brings it up to date. PowerShell changes bytes in its pipelines: where data is piped, use
  mmh.bat from cmd.
.EXAMPLE
  .\scripts\mmh.ps1
  .\scripts\mmh.ps1 compress model.safetensors
#>
# Without param(): every argument belongs to mmh, and stays as it is.
$ErrorActionPreference = "Stop"
$clone = Split-Path $PSScriptRoot
$mmh = [IO.Path]::Combine($clone, ".venv", "Scripts", "mmh.exe")

# To standard error, since standard output may be what a command is to write.
function Write-Note {
    param([string]$Text)
    [Console]::Error.WriteLine($Text)
}

if (-not (Test-Path -LiteralPath $mmh)) {
    Write-Note "First use: mmh is being built and set up in $(Join-Path $clone '.venv')."
    Write-Note "That takes a few minutes, once. Nothing is installed outside of the clone."
    $before = Get-Location
    try {
        & (Join-Path $PSScriptRoot "setup.ps1") build | ForEach-Object { Write-Note "$_" }
    } catch {
        Write-Note "mmh: could not be set up: $($_.Exception.Message) (the same command tries again)"
        exit 4
    } finally {
        Set-Location -LiteralPath $before.ProviderPath
    }
    if (-not (Test-Path -LiteralPath $mmh)) {
        Write-Note "mmh: $mmh is missing after the set-up (remove $(Join-Path $clone '.venv'), then try again)"
        exit 4
    }
    Write-Note "Ready."
}

if ($args.Count -eq 0) { & $mmh menu } else { & $mmh @args }
exit $LASTEXITCODE
