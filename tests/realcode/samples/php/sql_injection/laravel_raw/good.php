<?php

namespace App\Http\Controllers;

use Illuminate\Http\Request;
use Illuminate\Support\Facades\DB;

class ReportController extends Controller
{
    private const COLUMNS = ['created_at', 'title'];

    public function index(Request $request)
    {
        $column = $request->input('sort');
        if (!in_array($column, self::COLUMNS, true)) {
            $column = 'created_at';
        }
        return DB::select('select * from reports order by ' . $column);
    }
}
