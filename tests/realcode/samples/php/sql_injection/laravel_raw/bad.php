<?php

namespace App\Http\Controllers;

use Illuminate\Http\Request;
use Illuminate\Support\Facades\DB;

class ReportController extends Controller
{
    public function index(Request $request)
    {
        $column = $request->input('sort');
        return DB::select('select * from reports order by ' . $column);
    }
}
