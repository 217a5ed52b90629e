class SearchController < ApplicationController
  def index
    @heading = "<h1>Results for #{params[:q]}</h1>".html_safe
    @results = Page.search(params[:q])
  end
end
