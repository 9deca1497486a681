# Completion of oc-PLUGIN and kubectl-PLUGIN in PowerShell.
#
#   In this shell:     oc-PLUGIN completion powershell | Out-String | Invoke-Expression
#   In every new one:  oc-PLUGIN completion powershell >> $PROFILE
#
# `oc PLUGIN` and `kubectl PLUGIN` are completed by oc and kubectl, once `oc-PLUGIN completion install` was run.

Register-ArgumentCompleter -Native -CommandName 'oc-PLUGIN', 'oc-PLUGIN.exe', 'kubectl-PLUGIN', 'kubectl-PLUGIN.exe' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $elements = @($commandAst.CommandElements | Where-Object { $_.Extent.StartOffset -lt $cursorPosition })
    $program = $elements[0].Extent.Text.Trim('"', "'")
    $words = @($elements | Select-Object -Skip 1 | ForEach-Object { $_.Extent.Text.Trim('"', "'") })
    # The word under the cursor ends there; behind a blank a new one begins.
    if ($elements.Count -gt 1 -and $elements[-1].Extent.EndOffset -ge $cursorPosition) {
        $start = $elements[-1].Extent.StartOffset
        $current = $elements[-1].Extent.Text.Substring(0, $cursorPosition - $start).Trim('"', "'")
        $words = @($words | Select-Object -SkipLast 1)
    } else {
        $current = ''
    }
    # Before 7.3 PowerShell drops empty words; two quotes are what arrives as one.
    $legacy = $PSVersionTable.PSVersion -lt [version]'7.3' -or $PSNativeCommandArgumentPassing -eq 'Legacy'
    $last = if ($current -eq '' -and $legacy) { '""' } else { $current }
    $lines = @(& $program __complete @words $last 2>$null)
    if ($lines.Count -eq 0) { return }
    $directive = 0
    if (-not [int]::TryParse($lines[-1].TrimStart(':'), [ref]$directive)) { return }
    $lines = @($lines | Select-Object -SkipLast 1)

    # In --flag=value the answer is the value alone, and PowerShell wants the whole word.
    $before = ''
    if ($current -match '^(-[^=]*=)') { $before = $Matches[1] }
    if ($directive -eq 0 -or $directive -eq 16) {
        $kind = if ($directive -eq 16) { 'ProviderContainer' } else { '*' }
        [System.Management.Automation.CompletionCompleters]::CompleteFilename($current.Substring($before.Length)) |
            Where-Object { $_.ResultType -like $kind } |
            ForEach-Object {
                [System.Management.Automation.CompletionResult]::new(
                    $before + $_.CompletionText, $_.ListItemText, $_.ResultType, $_.ToolTip)
            }
        return
    }
    foreach ($line in $lines) {
        $value, $about = $line -split "`t", 2
        $text = $before + $value
        if ($text -match '[^\w@%+=:./-]') { $text = "'" + $text.Replace("'", "''") + "'" }
        if (-not $about) { $about = $value }
        [System.Management.Automation.CompletionResult]::new($text, $value, 'ParameterValue', $about)
    }
}
